;; The component around a guest's core module, as the tool chain makes it from `wit/v1`: the names of the records
;; are imported, which brings nothing in, and `classify` is exported. Where the contract's records change, every
;; guest is refused with the field's name until this file follows.
(component
  (type $rows
    (instance
      (type (record (field "note" u64) (field "flows" u32) (field "reserved" u32)))
      (export "source" (type (eq 0)))
      (type (record (field "note" u64) (field "service-flags" u64) (field "server-high" u64) (field "server-low" u64) (field "source" u32) (field "client-port" u16) (field "server-port" u16) (field "transport" u8) (field "role" u8) (field "state" u8) (field "reserved-a" u8) (field "reserved-b" u32)))
      (export "flow" (type (eq 2)))
      (type (record (field "age-us" u64) (field "flow" u32) (field "number" u32) (field "payload-bytes" u32) (field "payload-start" u32) (field "payload-captured" u32) (field "stream-offset" u32) (field "head-start" u32) (field "sample-rate" u32) (field "head-bytes" u16) (field "ip-id" u16) (field "window" u16) (field "tcp-options" u16) (field "ttl" u8) (field "direction" u8) (field "fragment" u8) (field "tcp-flags" u8) (field "head-flags" u8) (field "flow-state" u8) (field "reserved-b" u16)))
      (export "packet" (type (eq 4)))
      (type (record (field "detail" u32) (field "reason" u16) (field "judgement" u8) (field "class" u8) (field "proof" u8) (field "reserved-a" u8) (field "reserved-b" u16)))
      (export "opinion" (type (eq 6)))
      (type (list 7))
      (type (list u64))
      (type (record (field "opinions" 8) (field "flow-notes" 9) (field "source-notes" 9)))
      (export "answer" (type (eq 10)))
    )
  )
  (import "ftagent:plugin/rows@1.0.0" (instance $r (type $rows)))
  (alias export $r "source" (type $source'))
  (import "source" (type $source (eq $source')))
  (alias export $r "flow" (type $flow'))
  (import "flow" (type $flow (eq $flow')))
  (alias export $r "packet" (type $packet'))
  (import "packet" (type $packet (eq $packet')))
  (alias export $r "answer" (type $answer'))
  (import "answer" (type $answer (eq $answer')))
  {{extra}}
  {{module}}
  (core instance $main (instantiate $guest))
  (alias core export $main "memory" (core memory $memory))
  (alias core export $main "classify" (core func $core-classify))
  (alias core export $main "cabi_realloc" (core func $realloc))
  (func $classify
    (param "sources" (list $source)) (param "flows" (list $flow)) (param "packets" (list $packet)) (param "payloads" (list u8))
    (result $answer)
    (canon lift (core func $core-classify) (memory $memory) (realloc $realloc)))
  (export "{{export}}" (func $classify))
)
