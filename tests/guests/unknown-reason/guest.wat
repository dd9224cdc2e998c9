;; Gives a reason that its manifest does not have.
(func (export "classify")
  (param $s i32) (param $sn i32) (param $f i32) (param $fn i32) (param $p i32) (param $pn i32) (param $b i32) (param $bn i32)
  (result i32)
  (i32.store16 offset=4 (i32.const 4096) (i32.const 2))
  (call $unknown (local.get $s) (local.get $sn) (local.get $f) (local.get $fn) (local.get $pn)))
