# Llama.cmake: llama.cpp as three targets, had in one of two ways.
#
#   -DLLAMA=prebuilt   shared libraries with a CPU backend for each kind of
#                      processor, fetched in seconds (the default)
#   -DLLAMA=source     static libraries for this processor, built once per
#                      machine (about fifteen minutes on two cores) and cached
#
#   llama::llama       llama.h and ggml*.h, for C
#   llama::common      the above and common/chat.h, for C++17
#   llama::ggml        gguf.h and ggml.h alone: no model can be run with it
#   TUG_LLAMA_BUILD    "v0.5.0 prebuilt", for version output; a definition of
#                      llama::llama too
#   TUG_LLAMA_SOURCE   the source tree (models/ has vocabularies and templates)
#   TUG_LLAMA_LIBRARIES  prebuilt only: the folder of .so files, for packaging
#
# scripts/llama fetches or builds at configure time; it needs the network only
# the first time.
#
# How the engine finds the backends. Prebuilt libllama has none inside: they
# are the libggml-*.so beside it, one of which fits the processor. Found by
#
#   if (ggml_backend_reg_count() == 0) {
#       Dl_info at;
#       dladdr((void *)llama_backend_init, &at);      where libllama is
#       ggml_backend_load_all_from_path(dirname of at.dli_fname);
#   }
#
# before the first model is loaded. That holds wherever the folder is: build/lib
# (a link to the cache, in the run path of what is built), or lib/tug/lib of an
# installation: both are lib/ beside tug-engine, so its run path fits as it is.
# When linked statically the CPU backend has registered itself and nothing is
# loaded. In both cases functions of the backend that ggml*.h declares but
# libggml-base lacks (ggml_threadpool_new, ggml_backend_set_abort_callback) are
# had by ggml_backend_reg_get_proc_address, never by linking.

set(LLAMA prebuilt CACHE STRING "How llama.cpp is had: prebuilt or source")
set_property(CACHE LLAMA PROPERTY STRINGS prebuilt source)

set(TUG_LLAMA_SCRIPT ${CMAKE_CURRENT_LIST_DIR}/../scripts/llama)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
    ${CMAKE_CURRENT_LIST_DIR}/../scripts/deps.lock)

function(tug_llama ret_output)
    execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output
        OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
    if(failed)
        message(FATAL_ERROR "scripts/llama failed; its last line above says why")
    endif()
    set(${ret_output} "${output}" PARENT_SCOPE)
endfunction()

tug_llama(TUG_LLAMA_SOURCE ${TUG_LLAMA_SCRIPT} source)
tug_llama(TUG_LLAMA_RELEASE ${TUG_LLAMA_SCRIPT} version)
set(TUG_LLAMA_BUILD "${TUG_LLAMA_RELEASE} ${LLAMA}")

add_library(tug_llama_ggml INTERFACE)
add_library(tug_llama_llama INTERFACE)
add_library(tug_llama_common INTERFACE)
add_library(llama::ggml ALIAS tug_llama_ggml)
add_library(llama::llama ALIAS tug_llama_llama)
add_library(llama::common ALIAS tug_llama_common)

target_include_directories(tug_llama_ggml SYSTEM INTERFACE ${TUG_LLAMA_SOURCE}/ggml/include)
target_include_directories(tug_llama_llama SYSTEM INTERFACE
    ${TUG_LLAMA_SOURCE}/include ${TUG_LLAMA_SOURCE}/ggml/include)
target_include_directories(tug_llama_common SYSTEM INTERFACE
    ${TUG_LLAMA_SOURCE}/common ${TUG_LLAMA_SOURCE}/include
    ${TUG_LLAMA_SOURCE}/ggml/include ${TUG_LLAMA_SOURCE}/vendor)
target_compile_features(tug_llama_common INTERFACE cxx_std_17)
target_compile_definitions(tug_llama_llama INTERFACE TUG_LLAMA_BUILD="${TUG_LLAMA_BUILD}")

set(link ${CMAKE_BINARY_DIR}/lib)
if(LLAMA STREQUAL "prebuilt")
    tug_llama(TUG_LLAMA_LIBRARIES ${TUG_LLAMA_SCRIPT} prebuilt)
    file(CREATE_LINK ${TUG_LLAMA_LIBRARIES} ${link} SYMBOLIC)
    # Named through the link, which lies in the build tree: so CMake writes the
    # run path relative to $ORIGIN, and a moved build folder still works.
    set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
    set(base ${link}/libggml-base.so)
    set(core ${link}/libllama.${TUG_LLAMA_RELEASE}.so ${link}/libggml.${TUG_LLAMA_RELEASE}.so ${base})
    target_link_libraries(tug_llama_ggml INTERFACE ${base} m)
    target_link_libraries(tug_llama_llama INTERFACE ${core} m dl)
    target_link_libraries(tug_llama_common INTERFACE ${link}/libllama-common.so ${core} m dl)
elseif(LLAMA STREQUAL "source")
    # Sanitized archives need the runtime of the compiler that links them.
    if(TUG_SANITIZE STREQUAL "thread")
        set(flavour tsan CC=${CMAKE_C_COMPILER} CXX=${CMAKE_CXX_COMPILER})
    elseif(TUG_SANITIZE MATCHES "address")
        set(flavour asan CC=${CMAKE_C_COMPILER} CXX=${CMAKE_CXX_COMPILER})
    else()
        set(flavour release)
    endif()
    list(POP_FRONT flavour name)
    tug_llama(archives ${CMAKE_COMMAND} -E env ${flavour} ${TUG_LLAMA_SCRIPT} build ${name})
    if(IS_SYMLINK ${link})
        file(REMOVE ${link})
    endif()
    set(system stdc++ m pthread dl)
    set(core ${archives}/libllama.a ${archives}/libggml.a ${archives}/libggml-cpu.a ${archives}/libggml-base.a)
    target_link_libraries(tug_llama_ggml INTERFACE ${archives}/libggml-base.a ${system})
    target_link_libraries(tug_llama_llama INTERFACE ${core} ${system})
    target_link_libraries(tug_llama_common INTERFACE
        ${archives}/libllama-common.a ${archives}/libllama-common-base.a
        ${archives}/libcpp-httplib.a ${core} ${system})
else()
    message(FATAL_ERROR "LLAMA=${LLAMA} is neither prebuilt nor source")
endif()
