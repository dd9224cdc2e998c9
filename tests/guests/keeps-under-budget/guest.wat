;; Spends nearly all fuel that it asked for and answers honestly: slow is not wrong.
(func (export "classify")
  (param $s i32) (param $sn i32) (param $f i32) (param $fn i32) (param $p i32) (param $pn i32) (param $b i32) (param $bn i32)
  (result i32)
  (local $left i32)
  (local.set $left (i32.mul (local.get $pn) (i32.const 220)))
  (block $done (loop $next
    (br_if $done (i32.eqz (local.get $left)))
    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
    (br $next)))
  (call $unknown (local.get $s) (local.get $sn) (local.get $f) (local.get $fn) (local.get $pn)))
