;; Traps at block 7: what a block that failed leaves behind.
(module
  (import "env" "__load_input" (func $load_input (param i32)))
  (import "env" "__flush" (func $flush (param i32)))
  (memory (export "memory") 70)
  (data (i32.const 12) "\09\00\00\00\0a\01h\0a\04____")
  (func $fail_here (unreachable))
  (func (export "_start")
    (call $load_input (i32.const 65536))
    (i32.store (i32.const 21) (i32.load (i32.const 65536)))
    (call $flush (i32.const 16))
    (if (i32.eq (i32.load (i32.const 65536)) (i32.const 7)) (then (call $fail_here))))
)
