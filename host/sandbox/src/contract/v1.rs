//! `wit/v1` at the speed of a copy.
//!
//! The generated bindings write a list of records field by field, about 7 ns each, 66 ns a packet. Our rows are
//! flat integers in exactly the canonical ABI's layout, so [`Row`] lowers a whole list with one copy, about 3 ns a
//! packet, and the answer is lifted the same way. That relies on the layout of the Canonical ABI, which is
//! specified, and on hidden methods of wasmtime's `Lower` and `Lift`, for which its version is pinned.
//!
//! What must stay true: a row has no padding (`Pod`), its size and alignment are those of the generated type
//! (checked when this compiles), the component's types are checked by the generated code, and the bytes are equal
//! to those that the generated code writes (a test sends random rows both ways).

#![expect(
    unsafe_code,
    reason = "wasmtime's `Lower` and `Lift` are unsafe traits; copying whole lists needs our own"
)]

use std::cell::Cell;
use std::mem::MaybeUninit;

use bytemuck::Pod;
use bytemuck::TransparentWrapper;
use ftagent_core::question::Answer;
use ftagent_core::question::Batch;
use ftagent_core::question::FlowRow;
use ftagent_core::question::OpinionRow;
use ftagent_core::question::PacketRow;
use ftagent_core::question::SourceRow;
use wasmtime::Result;
use wasmtime::bail;
use wasmtime::component::__internal::CanonicalAbiInfo;
use wasmtime::component::__internal::InstanceType;
use wasmtime::component::__internal::InterfaceType;
use wasmtime::component::__internal::LiftContext;
use wasmtime::component::__internal::LowerContext;
use wasmtime::component::ComponentType;
use wasmtime::component::Func;
use wasmtime::component::Instance;
use wasmtime::component::Lift;
use wasmtime::component::Lower;
use wasmtime::component::TypedFunc;
use wasmtime::component::WasmList;
use wasmtime::format_err;

use super::Store;

#[cfg(not(all(target_endian = "little", target_pointer_width = "64")))]
compile_error!(
    "rows cross the sandbox as they stand in memory: only 64-bit little-endian machines are supported"
);

/// The types and their checks, generated from the contract itself.
mod generated {
    wasmtime::component::bindgen!({ path: "../../wit/v1", world: "plugin" });

    pub(super) use self::ftagent::plugin::rows::Opinion;
}

/// What is passed: four lists. Only the lists' lifetime differs between two calls.
type Question<'b> = (&'b [Row<SourceRow>], &'b [Row<FlowRow>], &'b [Row<PacketRow>], &'b [u8]);

type Typed<'b> = TypedFunc<Question<'b>, (Lifted,)>;

/// Name of the exported function.
pub(super) const CLASSIFY: &str = "classify";

/// `classify` of one instance; its type was checked when this was made.
pub(crate) struct Function(Func);

pub(super) fn function(store: &mut Store, instance: &Instance) -> Result<Function> {
    let func =
        instance.get_func(&mut *store, CLASSIFY).ok_or_else(|| format_err!("no function `{CLASSIFY}`"))?;
    let _checked: Typed<'_> = func.typed(&*store)?;
    Ok(Function(func))
}

thread_local! {
    /// An earlier answer, whose memory the next one takes over: allocating and freeing six lists costs as much as
    /// copying a small batch. wasmtime gives `Lift` no other way to what belongs to the caller.
    static SPARE: Cell<Answer> = const { Cell::new(EMPTY) };
}

const EMPTY: Answer = Answer { opinions: Vec::new(), flow_notes: Vec::new(), source_notes: Vec::new() };

/// Takes over the memory of an answer that nobody needs any more.
pub(super) fn recycle(answer: Answer) {
    SPARE.set(answer);
}

/// Asks. The answer has the plugin's own lengths and numbers; only its layout is known to be right.
pub(super) fn call(function: &Function, store: &mut Store, batch: &Batch) -> Result<Answer> {
    // SAFETY: `function` made a `Function` only after `Func::typed` had accepted this very type, and `Typed`
    // differs between calls in a lifetime alone, which the component's types know nothing of.
    let typed: Typed<'_> = unsafe { TypedFunc::new_unchecked(function.0) };
    let question: Question<'_> = (
        Row::wrap_slice(&batch.sources),
        Row::wrap_slice(&batch.flows),
        Row::wrap_slice(&batch.packets),
        &batch.payloads,
    );
    let (Lifted(answer),) = typed.call(store, question)?;
    Ok(answer)
}

/// A flat record of integers of the contract, in the layout that the canonical ABI gives it.
trait Flat: Pod + Send + Sync {
    /// The same record in the generated bindings.
    type Generated: ComponentType;

    /// Fails to compile where the layouts differ in size or alignment.
    const FITS: () = assert!(
        size_of::<Self>() == <Self::Generated as ComponentType>::SIZE32
            && align_of::<Self>() == <Self::Generated as ComponentType>::ALIGN32 as usize,
        "a row of ftagent-core and its record in wit/v1 differ"
    );
}

impl Flat for SourceRow {
    type Generated = generated::Source;
}

impl Flat for FlowRow {
    type Generated = generated::Flow;
}

impl Flat for PacketRow {
    type Generated = generated::Packet;
}

impl Flat for OpinionRow {
    type Generated = generated::Opinion;
}

/// A row that lowers by copying.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Row<R>(R);

// SAFETY: `Row` is `repr(transparent)` and adds no condition of its own to `R`.
unsafe impl<R> TransparentWrapper<R> for Row<R> {}

// SAFETY: everything that describes the type is that of the generated record; `FITS` proves the same size.
unsafe impl<R: Flat> ComponentType for Row<R> {
    type Lower = <R::Generated as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = <R::Generated as ComponentType>::ABI;
    const MAY_REQUIRE_REALLOC: bool = false;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        const { R::FITS };
        <R::Generated as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: the bytes written are those of a row without padding, whose layout is the record's (`FITS`, and the
// test that compares them with the generated code). The flat form writes nothing and fails.
unsafe impl<R: Flat> Lower for Row<R> {
    fn linear_lower_to_flat<T>(
        &self,
        _cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        _dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        // Only lists of rows are ever passed. An error is safe: the caller then reads nothing of `dst`.
        bail!("rows cross in lists only")
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
    ) -> Result<()> {
        Self::linear_store_list_to_memory(cx, ty, offset, std::slice::from_ref(self))
    }

    fn linear_store_list_to_memory<T>(
        cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        offset: usize,
        items: &[Self],
    ) -> Result<()> {
        let bytes: &[u8] = bytemuck::cast_slice(Row::peel_slice(items));
        let place = offset.checked_add(bytes.len()).and_then(|end| cx.as_slice_mut().get_mut(offset..end));
        place.ok_or_else(|| format_err!("a list lies outside the plugin's memory"))?.copy_from_slice(bytes);
        Ok(())
    }
}

// SAFETY: every bit pattern is a row (`Pod`), and `bytes` are as many as the record has.
unsafe impl<R: Flat> Lift for Row<R> {
    fn linear_lift_from_flat(
        _cx: &mut LiftContext<'_>,
        _ty: InterfaceType,
        _src: &Self::Lower,
    ) -> Result<Self> {
        bail!("rows cross in lists only")
    }

    fn linear_lift_from_memory(_cx: &mut LiftContext<'_>, _ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        bytemuck::try_pod_read_unaligned(bytes)
            .map(Self)
            .map_err(|cause| format_err!("lifting a row: {cause}"))
    }
}

/// The lists of an answer, copied as they are.
pub(crate) struct Lifted(Answer);

// SAFETY: everything that describes the type is that of the generated record.
unsafe impl ComponentType for Lifted {
    type Lower = <generated::Answer as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = <generated::Answer as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <generated::Answer as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: only integers are read, from slices whose bounds are checked.
unsafe impl Lift for Lifted {
    fn linear_lift_from_flat(
        _cx: &mut LiftContext<'_>,
        _ty: InterfaceType,
        _src: &Self::Lower,
    ) -> Result<Self> {
        // Six flat values are more than the canonical ABI returns in registers, so an answer is always in memory.
        bail!("an answer is returned in memory only")
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        let InterfaceType::Record(record) = ty else { bail!("an answer is a record") };
        let fields = &cx.types[record].fields;
        let (opinions, flow_notes, source_notes) = (fields[0].ty, fields[1].ty, fields[2].ty);
        let (pairs, rest) = bytes.as_chunks::<LIST_BYTES>();
        let ([first, second, third], []) = (pairs, rest) else { bail!("an answer is three lists") };
        let mut answer = SPARE.replace(EMPTY);
        copy_list::<OpinionRow, Row<OpinionRow>>(cx, opinions, first, &mut answer.opinions)?;
        copy_list::<u64, u64>(cx, flow_notes, second, &mut answer.flow_notes)?;
        copy_list::<u64, u64>(cx, source_notes, third, &mut answer.source_notes)?;
        Ok(Self(answer))
    }
}

/// A list in memory: where it starts and how many items it has.
const LIST_BYTES: usize = 8;

/// Copies one list of `L`, whose items are `R` in memory. wasmtime's own [`WasmList`] checks that it lies in memory
/// and is aligned, and charges its bytes to what the plugin may return, before anything is copied.
fn copy_list<R: Pod, L: Lift>(
    cx: &mut LiftContext<'_>,
    ty: InterfaceType,
    pair: &[u8; LIST_BYTES],
    into: &mut Vec<R>,
) -> Result<()> {
    const { assert!(size_of::<R>() == <L as ComponentType>::SIZE32) };
    WasmList::<L>::linear_lift_from_memory(cx, ty, pair)?;
    let (words, _) = pair.as_chunks::<4>();
    let word = |at: usize| usize::try_from(u32::from_le_bytes(words[at]));
    let (start, count) = (word(0)?, word(1)?);
    let bytes =
        count.checked_mul(size_of::<R>()).and_then(|len| cx.memory().get(start..start.checked_add(len)?));
    let bytes = bytes.ok_or_else(|| format_err!("a list lies outside the plugin's memory"))?;
    match bytemuck::try_cast_slice(bytes) {
        Ok(items) => {
            into.clear();
            into.extend_from_slice(items);
            Ok(())
        }
        Err(cause) => bail!("lifting a list: {cause}"),
    }
}

#[cfg(test)]
mod tests;
