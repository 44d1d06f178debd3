find_package(GTest REQUIRED)

# Folders whose tests start no thread and test nothing that starts one, but the engine's pool, whose own tests the thread
# sanitizer runs. Neither tests/unit/bench (its models are made by several threads) nor common/text (one tokenizer serves
# many threads at once) belongs here. The operator's tool has no threads but cpprest's, whose library isn't watched: what it
# frees looks like a race. The stores' threads meet in the database alone, through the pool that tests/contract/mysql tries.
set(SLUICE_SINGLE_THREADED_TESTS
  "tests/(unit/(common/(job|ids|config|crypto)|worker/(kernels|model|engine_cli)|callback/(payload|signature|schedule|guard)|operator)|contract/(store|callback|operator))")

# Half of the optimiser's time, and what tests run is hardly ever their own code.
set(SLUICE_TEST_OPTIONS $<$<CONFIG:Release>:-O1>)
if(SLUICE_SANITIZE MATCHES "undefined")
  # A quarter of the time that a test takes to compile, for what the address sanitizer finds as well.
  set(SLUICE_TEST_OPTIONS -fno-sanitize=null,alignment,object-size)
endif()

# sluice_add_test(NAME n LABELS unit SOURCES a_test.cpp … LIBS sluice_x … [TIMEOUT seconds])
# One GoogleTest binary, each of its cases a ctest. Labels: unit (no other process needed), contract and integration
# (real servers, told by SLUICE_* variables), e2e (the whole stack). The target tests-<label> builds all of that label.
function(sluice_add_test)
  cmake_parse_arguments(ARG "" "NAME;TIMEOUT" "LABELS;SOURCES;LIBS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  # Nothing there for the thread sanitizer to see.
  if(SLUICE_SANITIZE MATCHES "thread" AND CMAKE_CURRENT_SOURCE_DIR MATCHES "${SLUICE_SINGLE_THREADED_TESTS}")
    return()
  endif()
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_link_libraries(${ARG_NAME} PRIVATE sluice_options ${ARG_LIBS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_options(${ARG_NAME} PRIVATE ${SLUICE_TEST_OPTIONS})
  target_compile_definitions(${ARG_NAME} PRIVATE SLUICE_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                                 SLUICE_BINARY_DIR="${CMAKE_BINARY_DIR}/bin")
  foreach(label ${ARG_LABELS})
    if(NOT TARGET tests-${label})
      add_custom_target(tests-${label})
    endif()
    add_dependencies(tests-${label} ${ARG_NAME})
  endforeach()
  list(JOIN ARG_LABELS ";" labels)
  gtest_discover_tests(${ARG_NAME} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS "${labels}" TIMEOUT ${ARG_TIMEOUT})
endfunction()
include(GoogleTest)
