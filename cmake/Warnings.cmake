# Warnings (all errors) and sanitizers, carried by one interface target.
add_library(shrewd_warnings INTERFACE)
target_compile_options(shrewd_warnings INTERFACE
    -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
    -Wcast-qual -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wno-unused-parameter
    -fno-strict-aliasing -fstack-protector-strong
    $<$<BOOL:${SHREWD_FUZZ}>:-fsanitize=fuzzer-no-link>)
if(SHREWD_SANITIZE)
    add_compile_options(-fsanitize=${SHREWD_SANITIZE} -fno-omit-frame-pointer -g)
    add_link_options(-fsanitize=${SHREWD_SANITIZE})
    if(SHREWD_SANITIZE MATCHES "undefined")
        add_compile_options(-fno-sanitize-recover=undefined)
    endif()
endif()
