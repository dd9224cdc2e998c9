;; What every guest's module begins with: memory, the canonical ABI's allocator, and the pieces of an honest answer.
;; Memory: 0..64 the answer, 4096..53248 zeroed opinions for up to 4096 packets, from 65536 on the bump allocator,
;; which starts anew with the first list of the next call. That spares a `post-return` call, 50 ns.
(memory $memory (export "memory") 4)
(global $top (mut i32) (i32.const 65536))
(global $answered (mut i32) (i32.const 0))
(global $calls (mut i32) (i32.const 0))

(func $reserve (param $align i32) (param $bytes i32) (result i32)
  (local $at i32) (local $end i32)
  (if (global.get $answered)
    (then
      (global.set $top (i32.const 65536))
      (global.set $answered (i32.const 0))))
  (local.set $at
    (i32.and
      (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
  (local.set $end (i32.add (local.get $at) (local.get $bytes)))
  (if (i32.gt_u (local.get $end) (i32.mul (memory.size) (i32.const 65536)))
    (then
      (if (i32.eq
            (memory.grow (i32.add (i32.shr_u (i32.sub (local.get $end) (i32.mul (memory.size) (i32.const 65536))) (i32.const 16)) (i32.const 1)))
            (i32.const -1))
        (then unreachable))))
  (global.set $top (local.get $end))
  (local.get $at))

(func $cabi_realloc (export "cabi_realloc") (param $old i32) (param $old-bytes i32) (param $align i32) (param $bytes i32) (result i32)
  (call $reserve (local.get $align) (local.get $bytes)))

;; Writes one list of the answer: its place and its length.
(func $list (param $at i32) (param $start i32) (param $count i32)
  (i32.store (local.get $at) (local.get $start))
  (i32.store offset=4 (local.get $at) (local.get $count)))

;; Copies the notes of rows that are `$stride` bytes apart and begin with one.
(func $notes (param $rows i32) (param $count i32) (param $stride i32) (result i32)
  (local $start i32) (local $to i32) (local $end i32)
  (local.set $start (call $reserve (i32.const 8) (i32.shl (local.get $count) (i32.const 3))))
  (local.set $to (local.get $start))
  (local.set $end (i32.add (local.get $start) (i32.shl (local.get $count) (i32.const 3))))
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $to) (local.get $end)))
      (i64.store (local.get $to) (i64.load (local.get $rows)))
      (local.set $rows (i32.add (local.get $rows) (local.get $stride)))
      (local.set $to (i32.add (local.get $to) (i32.const 8)))
      (br $next)))
  (local.get $start))

;; An answer that judges nothing and keeps every note.
(func $unknown (param $s i32) (param $sn i32) (param $f i32) (param $fn i32) (param $pn i32) (result i32)
  (call $list (i32.const 0) (i32.const 4096) (local.get $pn))
  (call $list (i32.const 8) (call $notes (local.get $f) (local.get $fn) (i32.const 48)) (local.get $fn))
  (call $list (i32.const 16) (call $notes (local.get $s) (local.get $sn) (i32.const 16)) (local.get $sn))
  (global.set $answered (i32.const 1))
  (i32.const 0))
