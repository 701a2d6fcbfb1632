# find_package(coho) gives the target coho::coho. The headers lie in include/ of the same prefix.
if(NOT TARGET coho::coho)
  find_library(coho_uring_library NAMES uring REQUIRED)
  get_filename_component(coho_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
  add_library(coho::coho INTERFACE IMPORTED)
  set_target_properties(coho::coho PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${coho_prefix}/include"
    INTERFACE_LINK_LIBRARIES "${coho_uring_library}"
    INTERFACE_COMPILE_FEATURES cxx_std_20)
endif()
