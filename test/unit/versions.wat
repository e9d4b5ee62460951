;; Views that keep something in memory between calls, and say of which version of the state it is:
;; for test_views.c and test_staleness.c. Each block's height and header are kept under "v".
(module
  (import "env" "__host_len" (func $host_len (result i32)))
  (import "env" "__load_input" (func $load_input (param i32)))
  (import "env" "__get_len" (func $get_len (param i32) (result i32)))
  (import "env" "__get" (func $get (param i32 i32)))
  (import "env" "__flush" (func $flush (param i32)))
  (import "env" "__log" (func $log (param i32)))
  (memory (export "memory") 4)
  (global $cached (mut i32) (i32.const 0))
  (global $calls (mut i32) (i32.const 0))
  (data (i32.const 16) "\59\00\00\00\0a\01v\0a\54")     ;; 20: KeyValueFlush v -> 84 bytes at 25
  (data (i32.const 200) "\01\00\00\00v")                ;; 204: the key
  (data (i32.const 4092) "\ac\00\00\00")                ;; 4096: the answer of "version", 172 bytes
  (data (i32.const 300) "\04\00\00\00")                 ;; 304: an answer of four bytes
  (data (i32.const 400) "\04\00\00\00line")             ;; 404: what "logs" says

  (func (export "_start")
    (call $load_input (i32.const 65536))
    (memory.copy (i32.const 25) (i32.const 65536) (i32.const 84))
    (call $flush (i32.const 20)))

  (func $read (param $to i32)
    (drop (call $get_len (i32.const 204)))
    (call $get (i32.const 204) (local.get $to)))

  ;; the input's height; what this instance read first, ever; what it reads now
  (func $version (export "version") (result i32)
    (call $load_input (i32.const 65536))
    (i32.store (i32.const 4096) (i32.load (i32.const 65536)))
    (if (i32.eqz (global.get $cached)) (then
      (call $read (i32.const 4100))
      (global.set $cached (i32.const 1))))
    (call $read (i32.const 4184))
    (i32.const 4096))

  ;; the first four bytes after the height, doubled
  (func (export "doubled") (result i32)
    (call $load_input (i32.const 65536))
    (i32.store (i32.const 304) (i32.mul (i32.const 2) (i32.load (i32.const 65540))))
    (i32.const 304))

  ;; how many calls this instance has answered
  (func (export "counter") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store (i32.const 304) (global.get $calls))
    (i32.const 304))

  ;; traps in each instance but a new one
  (func (export "once") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (if (i32.gt_u (global.get $calls) (i32.const 1)) (then unreachable))
    (i32.const 304))

  ;; one MiB more each call
  (func (export "grows") (result i32)
    (i32.store (i32.const 304) (memory.grow (i32.const 16)))
    (i32.const 304))

  (func (export "spins") (result i32) (loop (br 0)) (i32.const 304))
  (func (export "traps") (result i32) (unreachable))
  (func $down (result i32) (i32.add (call $down) (i32.const 1)))
  (func (export "recurses") (result i32) (call $down))
  (func (export "allocates") (result i32)
    (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (unreachable))
  (func (export "points_past") (result i32) (i32.const 0xfffffff0))
  (func (export "logs_ten") (result i32) (local $i i32)
    (loop
      (call $log (i32.const 404))
      (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10))))
    (i32.const 304))
  ;; as many zero bytes as the input says
  (func (export "large") (result i32)
    (call $load_input (i32.const 65536))
    (drop (memory.grow (i32.const 80)))
    (i32.store (i32.const 65536) (i32.load (i32.const 65540)))
    (i32.const 65540))
)
