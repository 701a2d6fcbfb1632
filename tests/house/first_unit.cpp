// Two units that include everything must link: whatever is defined in a header is inline.

#include <coho.hpp>

coho::task<int> answer_of_second_unit();

int main() { return coho::run(answer_of_second_unit); }
