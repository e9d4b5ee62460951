;; A module whose views do, one each, what a server must cope with. _start keeps the height it is
;; given, four bytes, under the key "h". A buffer is its length (u32) followed by its bytes.
(module
  (import "env" "__host_len" (func $host_len (result i32)))
  (import "env" "__load_input" (func $load_input (param i32)))
  (import "env" "__get_len" (func $get_len (param i32) (result i32)))
  (import "env" "__get" (func $get (param i32 i32)))
  (import "env" "__flush" (func $flush (param i32)))
  (import "env" "__log" (func $log (param i32)))
  (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (import "env" "mystery" (func $mystery (param i32) (result i32)))
  (memory (export "memory") 170) ;; room for an input of 4 MB and more at 65536

  (data (i32.const 16) "\0b\00\00\00\0a\01h\0a\06")            ;; 20: KeyValueFlush h -> ......
  (data (i32.const 32) "\09\00\00\00\0a\01h\0a\04____")        ;; 36: KeyValueFlush h -> height
  (data (i32.const 64) "\01\00\00\00h")                        ;; 68: the key
  (data (i32.const 80) "\08\00\00\00garbage\ff")               ;; 84: no KeyValueFlush
  (data (i32.const 96) "\00\00\00\00")                         ;; 100: nothing
  (data (i32.const 112) "\06\00\00\00hi \ff\1b\0a")            ;; 116: text that is not UTF-8
  (data (i32.const 128) "\14\00\00\00n\00o\00 \00g\00o\00o\00d\00 \00\21\26\01\00") ;; 132: UTF-16
  (data (i32.const 160) "\08\00\00\00a\00.\00t\00s\00")        ;; 164: UTF-16, a file name

  (func $keep (result i32) ;; the height of the input, in the flush
    (call $load_input (i32.const 65536))
    (i32.store (i32.const 41) (i32.load (i32.const 65536)))
    (i32.const 36))

  (func (export "_start") (call $flush (call $keep)))

  ;; the whole input: height and bytes
  (func (export "echo") (result i32)
    (call $load_input (i32.const 65536))
    (i32.store (i32.const 65532) (call $host_len))
    (i32.const 65536))
  ;; what the state holds
  (func (export "stored") (result i32)
    (i32.store (i32.const 65532) (call $get_len (i32.const 68)))
    (call $get (i32.const 68) (i32.const 65536))
    (i32.const 65536))
  (func (export "empty") (result i32) (i32.const 100))
  ;; a flush means nothing in a view, whatever it holds
  (func (export "flushes") (result i32)
    (drop (call $keep))
    (call $flush (i32.const 36))
    (call $flush (i32.const 84))
    (i32.const 100))
  (func (export "logs") (result i32) (call $log (i32.const 116)) (i32.const 100))
  (func (export "traps") (result i32) (unreachable))
  (func (export "aborts") (result i32)
    (call $abort (i32.const 132) (i32.const 164) (i32.const 7) (i32.const 3))
    (i32.const 100))
  (func (export "asks_mystery") (result i32) (call $mystery (i32.const 1)))
  (func (export "points_past_the_end") (result i32) (i32.const 0xfffffff0))
  (func (export "points_to_null") (result i32) (i32.const 0))
  (func (export "gets_past_the_end") (result i32) (call $get_len (i32.const 0x7fffffff)))
  (func (export "spins") (result i32) (loop (br 0)) (i32.const 100))
  (func $down (result i32) (call $down))
  (func (export "overflows_the_stack") (result i32) (call $down))
  ;; 1 GiB more: what memory.grow said, four bytes
  (func (export "grows") (result i32)
    (i32.store (i32.const 65532) (i32.const 4))
    (i32.store (i32.const 65536) (memory.grow (i32.const 16384)))
    (i32.const 65536))
)
