# Runs during `make install`, with CMAKE_INSTALL_PREFIX final; see Install.cmake for the variables.
configure_file(${SOURCE_DIR}/packaging/shrewd.pc.in ${BINARY_DIR}/shrewd.pc @ONLY)
file(INSTALL ${BINARY_DIR}/shrewd.pc DESTINATION ${CMAKE_INSTALL_PREFIX}/${LIBDIR}/pkgconfig)

set(staged $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX})
message(STATUS "Installing: ${staged}/${BINDIR}/rockshrew-mono (a link)")
file(CREATE_LINK shrewd ${staged}/${BINDIR}/rockshrew-mono SYMBOLIC)

# Each shell looks for completions in a folder, and under a name, of its own.
set(bash_completion bash-completion/completions/shrewd)
set(zsh_completion zsh/site-functions/_shrewd)
set(fish_completion fish/vendor_completions.d/shrewd.fish)
foreach(shell bash zsh fish)
    set(file ${BINARY_DIR}/completion/${${shell}_completion})
    get_filename_component(folder ${${shell}_completion} DIRECTORY)
    file(MAKE_DIRECTORY ${BINARY_DIR}/completion/${folder})
    execute_process(COMMAND ${SHREWD} completion ${shell} OUTPUT_FILE ${file}
        RESULT_VARIABLE status)
    if(status EQUAL 0)
        file(INSTALL ${file} DESTINATION ${CMAKE_INSTALL_PREFIX}/${DATADIR}/${folder})
    else()
        message(FATAL_ERROR "shrewd completion ${shell} ended with ${status}")
    endif()
endforeach()
