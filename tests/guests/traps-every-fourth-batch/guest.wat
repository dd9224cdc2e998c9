;; Counts its calls in its memory and traps on the fourth: state survives between calls, not a trap.
(func (export "classify")
  (param $s i32) (param $sn i32) (param $f i32) (param $fn i32) (param $p i32) (param $pn i32) (param $b i32) (param $bn i32)
  (result i32)
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (if (i32.eq (global.get $calls) (i32.const 4)) (then unreachable))
  (call $unknown (local.get $s) (local.get $sn) (local.get $f) (local.get $fn) (local.get $pn)))
