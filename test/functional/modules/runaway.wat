;; Views that never come to an end, each in a way of its own, and one that is good. _start keeps the
;; height under "h", so that the good view has something to read.
(module
  (import "env" "__load_input" (func $load_input (param i32)))
  (import "env" "__get_len" (func $get_len (param i32) (result i32)))
  (import "env" "__get" (func $get (param i32 i32)))
  (import "env" "__flush" (func $flush (param i32)))
  (import "env" "__log" (func $log (param i32)))
  (memory (export "memory") 80) ;; room for a block of 4 MB at 65536

  (data (i32.const 32) "\09\00\00\00\0a\01h\0a\04____")        ;; 36: KeyValueFlush h -> height
  (data (i32.const 64) "\01\00\00\00h")                        ;; 68: the key
  (data (i32.const 112) "\08\00\00\00and more")                ;; 116: text to log
  (global $n (mut i32) (i32.const 0))

  (func (export "_start")
    (call $load_input (i32.const 65536))
    (i32.store (i32.const 41) (i32.load (i32.const 65536)))
    (call $flush (i32.const 36)))

  ;; some work: the stored height read a hundred times
  (func (export "good") (result i32) (local $i i32)
    (loop $again
      (i32.store (i32.const 1020) (call $get_len (i32.const 68)))
      (call $get (i32.const 68) (i32.const 1024))
      (br_if $again
        (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))
    (i32.const 1024))

  (func (export "loops") (result i32) (loop (br 0)) (unreachable))
  (func (export "counts") (result i32)
    (loop (global.set $n (i32.add (global.get $n) (i32.const 1))) (br 0)) (unreachable))
  ;; asks for memory and uses it, until there is none
  (func (export "allocates") (result i32) (local $page i32)
    (loop
      (local.set $page (memory.grow (i32.const 1)))
      (if (i32.eq (local.get $page) (i32.const -1)) (then unreachable))
      (i32.store (i32.shl (local.get $page) (i32.const 16)) (i32.const 1))
      (br 0))
    (unreachable))
  ;; does not look at what it gets
  (func (export "allocates_on") (result i32)
    (loop (drop (memory.grow (i32.const 1))) (br 0)) (unreachable))
  (func $down (export "recurses") (result i32) (i32.add (call $down) (i32.const 1)))
  (func (export "points_past") (result i32) (i32.const 0xfffffff0))
  (func (export "logs") (result i32) (loop (call $log (i32.const 116)) (br 0)) (unreachable))
  (func (export "reads") (result i32) (loop (drop (call $get_len (i32.const 68))) (br 0))
    (unreachable))
)
