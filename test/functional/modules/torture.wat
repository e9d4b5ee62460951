;; Makes a state in which anything lost, doubled or out of order shows: much of what a block stores
;; depends on what the blocks before it left. Views say of which version of the state they are. A
;; block that holds FAILHERE and a letter makes the module fail, each letter in a way of its own.
;; The tests replace the marked numbers, and mend the module by leaving out the marked line.
(module
  (import "env" "__host_len" (func $host_len (result i32)))
  (import "env" "__load_input" (func $load_input (param i32)))
  (import "env" "__get_len" (func $get_len (param i32) (result i32)))
  (import "env" "__get" (func $get (param i32 i32)))
  (import "env" "__flush" (func $flush (param i32)))
  (memory (export "memory") 400 4096)

  (global $keys i32 (i32.const 60))      ;; KEYS: changed by each block
  (global $space i32 (i32.const 3000))   ;; SPACE: that many different ones
  (global $longest i32 (i32.const 255))  ;; LONGEST: bytes of a value, a power of two less one
  (global $input i32 (i32.const 0x10000))
  (global $values i32 (i32.const 0x500000)) ;; room for a value read
  (global $out i32 (i32.const 0x800000))    ;; the flush
  (global $at (mut i32) (i32.const 0))      ;; its end
  (global $x (mut i64) (i64.const 0))       ;; where the block's numbers come from
  (global $cached (mut i32) (i32.const 0))

  (data (i32.const 16) "\01\00\00\00v")                  ;; 20: the keys, as buffers
  (data (i32.const 32) "\01\00\00\00n")                  ;; 36
  (data (i32.const 48) "\01\00\00\00d")                  ;; 52
  (data (i32.const 64) "\05\00\00\00k____")              ;; 68
  (data (i32.const 80) "\05\00\00\00b____")              ;; 84
  (data (i32.const 96) "\00\00\00\00")                   ;; 100: nothing
  (data (i32.const 112) "\08\00\00\00garbage\ff")        ;; 116: no KeyValueFlush
  (data (i32.const 128) "\05\00\00\00\0a\01g\0a\00")     ;; 132: g is empty
  (data (i32.const 144) "\08\00\00\00________")          ;; 148: an answer of eight bytes
  (data (i32.const 252) "\ac\00\00\00")                  ;; 256: what "version" says, 172 bytes

  (func $next (result i64)
    (global.set $x (i64.add (i64.mul (global.get $x) (i64.const 6364136223846793005))
                            (i64.const 1442695040888963407)))
    (i64.shr_u (global.get $x) (i64.const 20)))

  ;; field 1 of the flush: bytes
  (func $put (param $from i32) (param $len i32) (local $left i32)
    (i32.store8 (global.get $at) (i32.const 0x0a))
    (global.set $at (i32.add (global.get $at) (i32.const 1)))
    (local.set $left (local.get $len))
    (loop $more
      (i32.store8 (global.get $at)
        (i32.or (i32.and (local.get $left) (i32.const 0x7f))
                (i32.shl (i32.gt_u (local.get $left) (i32.const 0x7f)) (i32.const 7))))
      (global.set $at (i32.add (global.get $at) (i32.const 1)))
      (br_if $more (local.tee $left (i32.shr_u (local.get $left) (i32.const 7)))))
    (memory.copy (global.get $at) (local.get $from) (local.get $len))
    (global.set $at (i32.add (global.get $at) (local.get $len))))

  ;; a pair; the key is a buffer
  (func $pair (param $key i32) (param $value i32) (param $len i32)
    (call $put (local.get $key) (i32.load (i32.sub (local.get $key) (i32.const 4))))
    (call $put (local.get $value) (local.get $len)))

  (func $begin (global.set $at (global.get $out)))
  (func $end
    (i32.store (i32.sub (global.get $out) (i32.const 4))
               (i32.sub (global.get $at) (global.get $out)))
    (call $flush (global.get $out)))

  ;; the number kept under a key, 0 without one
  (func $number (param $key i32) (result i64)
    (i64.store (global.get $values) (i64.const 0))
    (if (call $get_len (local.get $key))
      (then (call $get (local.get $key) (global.get $values))))
    (i64.load (global.get $values)))

  (func $big_endian (param $n i32) (result i32)
    (i32.or
      (i32.and (i32.rotl (local.get $n) (i32.const 8)) (i32.const 0x00ff00ff))
      (i32.and (i32.rotr (local.get $n) (i32.const 8)) (i32.const 0xff00ff00))))

  (func $fail_here (unreachable))

  ;; a flush of many pairs f+number, of values of a MiB
  (func $flush_much (param $mib i32) (local $i i32)
    (if (i32.lt_s (memory.grow (i32.mul (local.get $mib) (i32.const 17))) (i32.const 0))
      (then unreachable))
    (call $begin)
    (loop $again
      (i32.store8 (i32.const 68) (i32.const 102))
      (i32.store (i32.const 69) (local.get $i))
      (call $pair (i32.const 68) (global.get $input) (i32.const 0x100000))
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                              (local.get $mib))))
    (i32.store8 (i32.const 68) (i32.const 107))
    (call $end))

  (func $fail (param $how i32)
    (if (i32.eq (local.get $how) (i32.const 116)) ;; t: traps
      (then (call $fail_here)))
    (if (i32.eq (local.get $how) (i32.const 104)) ;; h: traps half-way, after a flush
      (then (call $flush (i32.const 132)) (call $fail_here)))
    (if (i32.eq (local.get $how) (i32.const 103)) ;; g: flushes garbage, after a good flush
      (then (call $flush (i32.const 132)) (call $flush (i32.const 116))))
    (if (i32.eq (local.get $how) (i32.const 109)) ;; m: flushes 200 MiB
      (then (call $flush_much (i32.const 200))))
    (if (i32.eq (local.get $how) (i32.const 108)) ;; l: flushes 100 MiB, which is a lot, and fine
      (then (call $flush_much (i32.const 100))))
    (if (i32.eq (local.get $how) (i32.const 97))  ;; a: asks for memory until there is none
      (then (loop (br_if 0 (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0))))
            (call $fail_here)))
    (if (i32.eq (local.get $how) (i32.const 114)) ;; r: recurses for ever
      (then (call $fail (local.get $how))))
    (if (i32.eq (local.get $how) (i32.const 112)) ;; p: flushes what is past its memory's end
      (then (call $flush (i32.const 0x7ffffff0)))))

  ;; the letter after FAILHERE in the block, 0 without
  (func $marker (result i32) (local $at i32) (local $end i32)
    (local.set $at (i32.add (global.get $input) (i32.const 84)))
    (local.set $end (i32.sub (i32.add (global.get $input) (call $host_len)) (i32.const 8)))
    (block $none
      (loop $next
        (br_if $none (i32.ge_u (local.get $at) (local.get $end)))
        (if (i64.eq (i64.load (local.get $at)) (i64.const 0x455245484c494146))
          (then (return (i32.load8_u offset=8 (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  (func $change_a_key (local $len i32)
    (i32.store (i32.const 69)
      (call $big_endian (i32.rem_u (i32.wrap_i64 (call $next)) (global.get $space))))
    (local.set $len (i32.and (i32.wrap_i64 (call $next)) (global.get $longest)))
    ;; the value before goes into the one after, and into what comes next
    (global.set $x (i64.add (global.get $x) (call $number (i32.const 68))))
    (memory.copy (global.get $values) (global.get $input) (local.get $len))
    (i64.store (global.get $values) (global.get $x))
    (call $pair (i32.const 68) (global.get $values) (local.get $len)))

  (func (export "_start") (local $i i32)
    (call $load_input (global.get $input))
    (local.set $i (call $marker))
    (if (i32.eq (local.get $i) (i32.const 101)) (then (return))) ;; FAIL e: exits without a flush
    (if (local.get $i) (then (call $fail (local.get $i)))) ;; FAIL
    (global.set $x (i64.load offset=40 (global.get $input))) ;; of the merkle root
    (call $begin)
    (call $pair (i32.const 20) (global.get $input) (i32.const 84))
    (i64.store (i32.const 148) (i64.add (call $number (i32.const 36)) (i64.const 1)))
    (call $pair (i32.const 36) (i32.const 148) (i32.const 8))
    (i32.store (i32.const 85) (call $big_endian (i32.load (global.get $input))))
    (call $pair (i32.const 84) (i32.add (global.get $input) (i32.const 40)) (i32.const 32))
    (local.set $i (i32.const 0))
    (loop $again
      (call $change_a_key)
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                              (global.get $keys))))
    (i64.store (i32.const 148) (i64.add (global.get $x) (call $number (i32.const 52))))
    (call $pair (i32.const 52) (i32.const 148) (i32.const 8))
    (call $end))

  (func $read (param $to i32)
    (drop (call $get_len (i32.const 20)))
    (call $get (i32.const 20) (local.get $to)))

  ;; the input's height; the height and header this instance read first, ever; what it reads now
  (func (export "version") (result i32)
    (call $load_input (global.get $input))
    (i32.store (i32.const 256) (i32.load (global.get $input)))
    (if (i32.eqz (global.get $cached)) (then
      (call $read (i32.const 260))
      (global.set $cached (i32.const 1))))
    (call $read (i32.const 344))
    (i32.const 256))

  ;; how many blocks came before and with this one
  (func (export "count") (result i32)
    (i64.store (i32.const 148) (call $number (i32.const 36)))
    (i32.const 148))
)
