# Compiler settings that hold for our own code, as one interface target.
add_library(sluice_options INTERFACE)
target_compile_options(sluice_options INTERFACE -Wall -Wextra -Werror -Wno-missing-field-initializers)
target_include_directories(sluice_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(sluice_options INTERFACE SLUICE_VERSION="${PROJECT_VERSION}")
if(SLUICE_FAILPOINTS)
  target_compile_definitions(sluice_options INTERFACE SLUICE_FAILPOINTS=1)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(sluice_options INTERFACE -Wthread-safety)
endif()
if(SLUICE_SANITIZE)
  add_compile_options(-fsanitize=${SLUICE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SLUICE_SANITIZE})
  # hiredis asks for it, and who includes a precompiled header must be compiled as that was.
  add_compile_definitions(_FILE_OFFSET_BITS=64)
  if(SLUICE_SANITIZE MATCHES undefined)
    # The check of virtual pointers opens a pipe, and takes having no descriptor left for a bad pointer (a test looks at just
    # that); and it takes objects of libraries that hide their types, as cpprest does, for others.
    add_compile_options(-fno-sanitize=vptr)
  endif()
  if(SLUICE_SANITIZE MATCHES thread)
    # The thread sanitizer knows no bare fences; without Asio's, its locks still order everything.
    add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
  endif()
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2")  # Assertions of ours (SLUICE_CHECK) hold in every build.
set(CMAKE_CXX_FLAGS_DEBUG "-g1 -O0")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  if(SLUICE_SANITIZE)
    # It caches nothing that uses a precompiled header otherwise.
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
    add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
  endif()
endif()
find_program(LLD_PROGRAM ld.lld)
if(LLD_PROGRAM)
  add_link_options(-fuse-ld=lld)
endif()
