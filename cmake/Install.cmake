# make install: the program, its old name, the library with its headers and pkg-config file.
install(TARGETS shrewd_cli DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS shrewd DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/shrewd DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
