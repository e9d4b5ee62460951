# make install: the program under both its names, its man page and completions, the library with
# headers, pkg-config file and the Wasmtime it needs, and the sample modules with their SDK.
install(TARGETS shrewd_cli DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS shrewd DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/shrewd DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${CMAKE_SOURCE_DIR}/packaging/shrewd.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/shrewd.service DESTINATION lib/systemd/system)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/shrewd.conf
    DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(DIRECTORY ${CMAKE_BINARY_DIR}/guest/ DESTINATION ${CMAKE_INSTALL_DATADIR}/shrewd
    FILES_MATCHING PATTERN "*.wasm" PATTERN CMakeFiles EXCLUDE)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/guest/c/ DESTINATION ${CMAKE_INSTALL_DATADIR}/shrewd/c
    FILES_MATCHING PATTERN "*.h")
# Kept apart: no other program should come to use this copy by -lwasmtime.
install(FILES ${WASMTIME_ROOT}/lib/libwasmtime.a DESTINATION ${CMAKE_INSTALL_LIBDIR}/shrewd)

# What depends on the prefix, which `cmake --install --prefix` may set anew, is made then.
list(JOIN SHREWD_DEPS_LDFLAGS " " dependency_libs)
set(install_vars "
    set(DEPENDENCY_LIBS \"${dependency_libs} -lcrypto\")
    set(BINDIR \"${CMAKE_INSTALL_BINDIR}\")
    set(LIBDIR \"${CMAKE_INSTALL_LIBDIR}\")
    set(INCLUDEDIR \"${CMAKE_INSTALL_INCLUDEDIR}\")
    set(DATADIR \"${CMAKE_INSTALL_DATADIR}\")
    set(VERSION \"${PROJECT_VERSION}\")
    set(BINARY_DIR \"${CMAKE_BINARY_DIR}\")
    set(SOURCE_DIR \"${CMAKE_SOURCE_DIR}\")
    set(SHREWD \"$<TARGET_FILE:shrewd_cli>\")")
install(CODE "${install_vars}")
install(SCRIPT ${CMAKE_SOURCE_DIR}/cmake/InstallPrefixed.cmake)
