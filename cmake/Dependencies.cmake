# Everything shrewd links against, gathered in one interface target.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL 3 REQUIRED COMPONENTS Crypto)
pkg_check_modules(SHREWD_DEPS REQUIRED IMPORTED_TARGET
    rocksdb libmicrohttpd libcurl jansson libzmq libzstd inih)
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)

if(NOT WASMTIME_ROOT)
    execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/build-wasmtime
        OUTPUT_VARIABLE WASMTIME_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE
        RESULT_VARIABLE wasmtime_status)
    if(NOT wasmtime_status EQUAL 0)
        message(FATAL_ERROR "Wasmtime is not built; run 'make deps' or pass -DWASMTIME_ROOT=DIR")
    endif()
endif()
if(NOT EXISTS ${WASMTIME_ROOT}/lib/libwasmtime.a)
    message(FATAL_ERROR "no lib/libwasmtime.a below WASMTIME_ROOT (${WASMTIME_ROOT})")
endif()

# The crate ships its feature switches as a template; these match tools/wasmtime/Cargo.toml.
if(EXISTS ${WASMTIME_ROOT}/include/wasmtime/conf.h.in)
    set(WASMTIME_FEATURE_CRANELIFT ON)
    set(WASMTIME_FEATURE_PARALLEL_COMPILATION ON)
    set(WASMTIME_FEATURE_POOLING_ALLOCATOR ON)
    set(WASMTIME_FEATURE_WAT ON)
    configure_file(${WASMTIME_ROOT}/include/wasmtime/conf.h.in
        ${CMAKE_BINARY_DIR}/wasmtime-conf/wasmtime/conf.h)
endif()
add_library(wasmtime STATIC IMPORTED)
set_target_properties(wasmtime PROPERTIES IMPORTED_LOCATION ${WASMTIME_ROOT}/lib/libwasmtime.a)
target_include_directories(wasmtime SYSTEM INTERFACE
    ${WASMTIME_ROOT}/include ${CMAKE_BINARY_DIR}/wasmtime-conf)

add_library(shrewd_dependencies INTERFACE)
target_link_libraries(shrewd_dependencies INTERFACE
    PkgConfig::SHREWD_DEPS OpenSSL::Crypto wasmtime Threads::Threads m dl)
