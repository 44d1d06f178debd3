# What nearly every file includes, parsed once a build instead of once a file: half of what an unoptimised file costs.
# In sanitizer builds only. The others compile each file with its own includes, and so find one that is missing.
set(SLUICE_PRECOMPILED <algorithm> <array> <chrono> <cstdint> <deque> <functional> <map> <memory> <mutex> <optional> <set>
  <span> <sstream> <string> <string_view> <thread> <unordered_map> <utility> <vector> <nlohmann/json.hpp> <tl/expected.hpp>)

# Files of these have compiler options of their own.
set(SLUICE_NOT_PRECOMPILED sluice_kernels sluice_ops)

file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/precompiled.cpp CONTENT "")
add_library(sluice_precompiled STATIC ${CMAKE_BINARY_DIR}/precompiled.cpp)
target_link_libraries(sluice_precompiled PRIVATE sluice_options nlohmann_json::nlohmann_json)
target_precompile_headers(sluice_precompiled PRIVATE ${SLUICE_PRECOMPILED})

add_executable(sluice_precompiled_tests EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/precompiled.cpp)
target_link_libraries(sluice_precompiled_tests PRIVATE sluice_options nlohmann_json::nlohmann_json GTest::gtest GTest::gmock
                      GTest::gtest_main)
target_compile_options(sluice_precompiled_tests PRIVATE ${SLUICE_TEST_OPTIONS})
target_precompile_headers(sluice_precompiled_tests PRIVATE ${SLUICE_PRECOMPILED} <gmock/gmock.h> <gtest/gtest.h>)

# Every target below a folder.
function(sluice_precompile folder)
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target ${targets})
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "STATIC_LIBRARY" AND NOT target IN_LIST SLUICE_NOT_PRECOMPILED)
      target_precompile_headers(${target} REUSE_FROM sluice_precompiled)
    elseif(type STREQUAL "EXECUTABLE")
      get_target_property(libraries ${target} LINK_LIBRARIES)
      if("GTest::gtest_main" IN_LIST libraries)
        target_precompile_headers(${target} REUSE_FROM sluice_precompiled_tests)
      endif()
    endif()
  endforeach()
  get_property(folders DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  foreach(each ${folders})
    sluice_precompile(${each})
  endforeach()
endfunction()
foreach(folder ${SLUICE_FOLDERS})
  sluice_precompile(${CMAKE_SOURCE_DIR}/${folder})
endforeach()
