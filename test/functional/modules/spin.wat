;; Keeps nothing, and never comes back from block 5.
(module
  (import "env" "__load_input" (func $load_input (param i32)))
  (import "env" "__flush" (func $flush (param i32)))
  (memory (export "memory") 70)
  (func (export "_start")
    (call $load_input (i32.const 65536))
    (if (i32.eq (i32.load (i32.const 65536)) (i32.const 5))
      (then (loop $spin (br $spin))))
    (call $flush (i32.const 8)))
  (func (export "empty") (result i32) (i32.const 8))
)
