// What nearly every test includes, compiled once for each program.
#include "../catch.hpp"

#include <coho.hpp>
