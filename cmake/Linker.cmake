# lld, where it is installed, links the static Wasmtime several times as fast as GNU ld, and some
# seventy programs of the tests link it. -DSHREWD_LLD=OFF takes the compiler's own linker.
include(CheckLinkerFlag)

option(SHREWD_LLD "Link with lld when it is installed" ON)
if(SHREWD_LLD)
    check_linker_flag(C "-fuse-ld=lld" SHREWD_LLD_WORKS)
    if(SHREWD_LLD_WORKS)
        add_link_options(-fuse-ld=lld)
    endif()
endif()
# Two thirds of Wasmtime is never called. The sanitizers' own sections are left alone.
if(NOT SHREWD_SANITIZE)
    add_link_options(-Wl,--gc-sections)
endif()
