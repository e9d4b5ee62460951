;; Views whose reads are to be proven, for test_view_proof.c. Each block keeps its height under "k",
;; nothing under "empty", and "abc" under "fixed".
(module
  (import "env" "__host_len" (func $host_len (result i32)))
  (import "env" "__load_input" (func $load_input (param i32)))
  (import "env" "__get_len" (func $get_len (param i32) (result i32)))
  (import "env" "__get" (func $get (param i32 i32)))
  (import "env" "__flush" (func $flush (param i32)))
  (memory (export "memory") 64)
  (global $calls (mut i32) (i32.const 0))
  (data (i32.const 16) "\1e\00\00\00\0a\01k\0a\04hhhh\0a\05empty\0a\00\0a\05fixed\0a\03abc") ;; at 20
  (data (i32.const 200) "\01\00\00\00k")       ;; 204: a key
  (data (i32.const 300) "\04\00\00\00")        ;; 304: an answer of four bytes

  (func (export "_start")
    (call $load_input (i32.const 65536))
    (i32.store (i32.const 25) (i32.load (i32.const 65536)))
    (call $flush (i32.const 20)))

  ;; The input is a list of keys, each behind a byte with its length. Of each, the length of its
  ;; value and the value.
  (func (export "reads") (result i32)
    (local $at i32) (local $end i32) (local $out i32) (local $len i32)
    (call $load_input (i32.const 65536))
    (local.set $at (i32.const 65540))
    (local.set $end (i32.add (i32.const 65536) (call $host_len)))
    (local.set $out (i32.const 131072))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $len (i32.load8_u (local.get $at)))
        (i32.store (i32.const 1020) (local.get $len))
        (memory.copy (i32.const 1024) (i32.add (local.get $at) (i32.const 1)) (local.get $len))
        (local.set $at (i32.add (i32.add (local.get $at) (i32.const 1)) (local.get $len)))
        (i32.store (local.get $out) (call $get_len (i32.const 1024)))
        (call $get (i32.const 1024) (i32.add (local.get $out) (i32.const 4)))
        (local.set $out
          (i32.add (local.get $out) (i32.add (i32.const 4) (i32.load (local.get $out)))))
        (br $next)))
    (i32.store (i32.const 131068) (i32.sub (local.get $out) (i32.const 131072)))
    (i32.const 131072))

  ;; as many different keys as the input's first number says, each as long as its second
  (func (export "many") (result i32) (local $i i32)
    (call $load_input (i32.const 65536))
    (i32.store (i32.const 131068) (i32.load (i32.const 65544)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (i32.load (i32.const 65540))))
        (i32.store (i32.const 131072) (local.get $i))
        (drop (call $get_len (i32.const 131072)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i32.store (i32.const 304) (local.get $i))
    (i32.const 304))

  ;; how many calls this instance has answered; it reads nothing
  (func (export "counter") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store (i32.const 304) (global.get $calls))
    (i32.const 304))

  ;; the input's height
  (func (export "height") (result i32)
    (call $load_input (i32.const 304))
    (i32.const 304))

  (func (export "traps") (result i32) (unreachable))
  (func (export "points_past") (result i32) (i32.const 0xfffffff0))
  (func (export "spins") (result i32) (loop (br 0)) (unreachable))
)
