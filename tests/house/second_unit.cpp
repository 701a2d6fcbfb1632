#include <coho.hpp>

coho::task<int> answer_of_second_unit() { co_return 0; }
