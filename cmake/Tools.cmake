# One command each: format, format-check, lint.
add_custom_target(format COMMAND sh -c "git ls-files '*.cpp' '*.h' | xargs clang-format -i"
                  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM)
add_custom_target(format-check COMMAND sh -c "git ls-files '*.cpp' '*.h' | xargs clang-format --dry-run -Werror"
                  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM)
add_custom_target(lint COMMAND sh -c "git ls-files '*.cpp' | xargs -P 2 -n 4 clang-tidy --quiet -p '${CMAKE_BINARY_DIR}'"
                  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM)
