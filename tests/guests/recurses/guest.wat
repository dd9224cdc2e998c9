;; Calls itself until the stack is used up.
(func $deeper (param $n i32) (result i32)
  (i32.add (i32.const 1) (call $deeper (i32.add (local.get $n) (i32.const 1)))))
(func (export "classify")
  (param $s i32) (param $sn i32) (param $f i32) (param $fn i32) (param $p i32) (param $pn i32) (param $b i32) (param $bn i32)
  (result i32)
  (call $deeper (i32.const 0))
  drop
  (call $unknown (local.get $s) (local.get $sn) (local.get $f) (local.get $fn) (local.get $pn)))
