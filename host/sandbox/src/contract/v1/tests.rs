//! The bytes that a plugin sees, and what is understood of its answer, are the same as with the generated bindings.

use wasmtime::Config;
use wasmtime::Engine;
use wasmtime::StoreLimits;
use wasmtime::component::Component;
use wasmtime::component::Linker;

use super::*;

/// Returns all rows, as they lie in its memory, as flow notes, and the payload's bytes as opinions.
const MIRROR: &str = r#"
    (func (export "classify")
      (param $s i32) (param $sn i32) (param $f i32) (param $fn i32) (param $p i32) (param $pn i32) (param $b i32) (param $bn i32)
      (result i32)
      (call $list (i32.const 0) (local.get $b) (i32.div_u (local.get $bn) (i32.const 12)))
      (call $list (i32.const 8) (local.get $s) (i32.shr_u (i32.sub (local.get $b) (local.get $s)) (i32.const 3)))
      (call $list (i32.const 16) (local.get $s) (local.get $sn))
      (global.set $answered (i32.const 1))
      (i32.const 0))"#;

fn mirror() -> (Store, Instance) {
    let module =
        format!("(core module $guest {} {MIRROR})", include_str!("../../../../../tests/guests/prelude.wat"));
    let wat = include_str!("../../../../../tests/guests/component.wat")
        .replace("{{module}}", &module)
        .replace("{{extra}}", "")
        .replace("{{export}}", "classify");
    let engine = Engine::new(Config::new().concurrency_support(false)).expect("an engine");
    let component = Component::new(&engine, wat::parse_str(wat).expect("a component")).expect("valid code");
    let mut store = Store::new(&engine, StoreLimits::default());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).expect("an instance");
    (store, instance)
}

/// Xorshift (Marsaglia 2003): the same rows in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn rows<R: Pod>(&mut self, count: usize) -> Vec<R> {
        let mut rows = vec![R::zeroed(); count];
        bytemuck::cast_slice_mut::<R, u8>(&mut rows).fill_with(|| self.next().to_le_bytes()[3]);
        rows
    }

    fn batch(&mut self, rows: usize) -> Batch {
        Batch {
            sources: self.rows(rows),
            flows: self.rows(rows),
            packets: self.rows(rows),
            payloads: self.rows(rows * 12),
        }
    }
}

fn sources(rows: &[SourceRow]) -> Vec<generated::Source> {
    rows.iter()
        .map(|row| generated::Source { note: row.note, flows: row.flows, reserved: row.reserved })
        .collect()
}

fn flows(rows: &[FlowRow]) -> Vec<generated::Flow> {
    rows.iter()
        .map(|row| generated::Flow {
            note: row.note,
            service_flags: row.service_flags,
            server_high: row.server_high,
            server_low: row.server_low,
            source: row.source,
            client_port: row.client_port,
            server_port: row.server_port,
            transport: row.transport,
            role: row.role,
            state: row.state,
            reserved_a: row.reserved_a,
            reserved_b: row.reserved_b,
        })
        .collect()
}

fn packets(rows: &[PacketRow]) -> Vec<generated::Packet> {
    rows.iter()
        .map(|row| generated::Packet {
            age_us: row.age_us,
            flow: row.flow,
            number: row.number,
            payload_bytes: row.payload_bytes,
            payload_start: row.payload_start,
            payload_captured: row.payload_captured,
            stream_offset: row.stream_offset,
            head_start: row.head_start,
            sample_rate: row.sample_rate,
            head_bytes: row.head_bytes,
            ip_id: row.ip_id,
            window: row.window,
            tcp_options: row.tcp_options,
            ttl: row.ttl,
            direction: row.direction,
            fragment: row.fragment,
            tcp_flags: row.tcp_flags,
            head_flags: row.head_flags,
            flow_state: row.flow_state,
            reserved_b: row.reserved_b,
        })
        .collect()
}

fn opinions(given: &[generated::Opinion]) -> Vec<OpinionRow> {
    given
        .iter()
        .map(|it| OpinionRow {
            detail: it.detail,
            reason: it.reason,
            judgement: it.judgement,
            class: it.class,
            proof: it.proof,
            reserved_a: it.reserved_a,
            reserved_b: it.reserved_b,
        })
        .collect()
}

#[test]
fn rows_cross_as_the_generated_bindings_would_carry_them() {
    let (mut store, instance) = mirror();
    let bulk = function(&mut store, &instance).expect("the contract's type");
    let generated = generated::Plugin::new(&mut store, &instance).expect("the contract's type");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for rows in [0, 1, 2, 3, 7, 64, 256, 4096] {
        let batch = random.batch(rows);
        let ours = call(&bulk, &mut store, &batch).expect("an answer");
        let theirs = generated
            .call_classify(
                &mut store,
                &sources(&batch.sources),
                &flows(&batch.flows),
                &packets(&batch.packets),
                &batch.payloads,
            )
            .expect("an answer");
        assert_eq!(ours.flow_notes, theirs.flow_notes, "{rows} rows as the plugin saw them");
        assert_eq!(ours.flow_notes.len(), rows * (16 + 48 + 56) / 8);
        assert_eq!(ours.opinions, opinions(&theirs.opinions), "{rows} opinions");
        assert_eq!(ours.source_notes, theirs.source_notes);
        recycle(ours);
    }
}

#[test]
fn a_row_never_crosses_by_itself() {
    let (mut store, instance) = mirror();
    assert!(instance.get_typed_func::<(Row<SourceRow>,), (Lifted,)>(&mut store, CLASSIFY).is_err());
}
