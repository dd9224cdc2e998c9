;; Returns all of its memory as opinions, which is legal for the canonical ABI.
(func (export "classify")
  (param $s i32) (param $sn i32) (param $f i32) (param $fn i32) (param $p i32) (param $pn i32) (param $b i32) (param $bn i32)
  (result i32)
  (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
  (call $unknown (local.get $s) (local.get $sn) (local.get $f) (local.get $fn) (local.get $pn))
  (call $list (i32.const 0) (i32.const 0) (i32.const 1398101)))
