//! Silent VOLE and vole-psi: the parties as opaque states. A step that a state has already taken is out of order.

use std::sync::{Mutex, PoisonError};

use psc_core::vole::{self, Kernels, Mode, base_ot, check, receiver, sender};
use psc_core::{Error, vole_psi};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::buffers::{Input, int64_array, uint32_array};
use crate::errors::CoreError;
use crate::types::{Items, OprfOutputs, Rng};

type Bytes<'py> = Result<Bound<'py, PyBytes>, CoreError>;
type Array<'py> = Bound<'py, PyAny>;

/// A state that its last step uses up.
struct State<T>(Mutex<Option<T>>);

impl<T> State<T> {
    fn new(state: T) -> Self {
        Self(Mutex::new(Some(state)))
    }

    fn none() -> Self {
        Self(Mutex::new(None))
    }

    fn set(&self, state: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    fn take(&self, what: &'static str) -> psc_core::Result<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(Error::OutOfOrder { what })
    }

    fn with<R>(&self, what: &'static str, step: impl FnOnce(&mut T) -> psc_core::Result<R>) -> psc_core::Result<R> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        step(held.as_mut().ok_or(Error::OutOfOrder { what })?)
    }
}

fn mode(malicious: bool) -> Mode {
    if malicious { Mode::Malicious } else { Mode::SemiHonest }
}

/// Return the bytes of the messages of a VOLE, in order: choices, extension, trees, challenge and answer.
#[pyfunction]
pub fn vole_message_bytes(outputs: usize, malicious: bool) -> Result<(usize, usize, usize, usize, usize), CoreError> {
    let layout = vole::Parameters::new(outputs, mode(malicious))?.layout();
    let (challenge, answer) = if malicious { (check::CHALLENGE_BYTES, check::ANSWER_BYTES) } else { (0, 0) };
    Ok((base_ot::CHOICE_BYTES, layout.extension_bytes(), layout.puncture_bytes(), challenge, answer))
}

/// The sender of a VOLE.
#[pyclass(frozen, module = "psc._core")]
pub struct VoleSender {
    choices: Vec<u8>,
    started: State<vole::Sender>,
    punctured: State<sender::Punctured>,
}

#[pymethods]
impl VoleSender {
    /// Draw delta.
    #[staticmethod]
    fn start(py: Python<'_>, session: Input, outputs: usize, malicious: bool, rng: &Rng) -> Result<Self, CoreError> {
        let (sender, choices) = py.detach(|| {
            let parameters = vole::Parameters::new(outputs, mode(malicious))?;
            rng.with(|rng| vole::Sender::start(Kernels::selected()?, &session, parameters, rng))
        })?;
        Ok(Self { choices, started: State::new(sender), punctured: State::none() })
    }

    /// Return the first message.
    fn choices<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.choices)
    }

    /// Take the receiver's extension; return the message of the trees.
    fn puncture<'py>(&self, py: Python<'py>, extension: Input, rng: &Rng) -> Bytes<'py> {
        let message = py.detach(|| {
            let started = self.started.take("extension")?;
            let (punctured, message) = rng.with(|rng| started.puncture(&extension, rng))?;
            self.punctured.set(punctured);
            Ok::<_, Error>(message)
        })?;
        Ok(PyBytes::new(py, &message))
    }

    /// In malicious mode, take the receiver's challenge; return the answer.
    fn answer<'py>(&self, py: Python<'py>, challenge: Input) -> Bytes<'py> {
        let answer = py.detach(|| self.punctured.with("challenge", |punctured| punctured.answer(&challenge)))?;
        Ok(PyBytes::new(py, &answer))
    }

    /// Return the sender's part.
    fn finish(&self, py: Python<'_>) -> Result<VoleShares, CoreError> {
        Ok(py.detach(|| Ok::<_, Error>(VoleShares(State::new(self.punctured.take("shares")?.finish()?))))?)
    }
}

/// The receiver of a VOLE.
#[pyclass(frozen, module = "psc._core")]
pub struct VoleReceiver {
    extension: Vec<u8>,
    started: State<vole::Receiver>,
    expanded: State<receiver::Expanded>,
}

#[pymethods]
impl VoleReceiver {
    /// Take the sender's choices and draw the noise.
    #[staticmethod]
    fn start(
        py: Python<'_>,
        session: Input,
        outputs: usize,
        malicious: bool,
        choices: Input,
        rng: &Rng,
    ) -> Result<Self, CoreError> {
        let (receiver, extension) = py.detach(|| {
            let parameters = vole::Parameters::new(outputs, mode(malicious))?;
            rng.with(|rng| vole::Receiver::start(Kernels::selected()?, &session, parameters, &choices, rng))
        })?;
        Ok(Self { extension, started: State::new(receiver), expanded: State::none() })
    }

    /// Return the first message.
    fn extension<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.extension)
    }

    /// Take the sender's trees; return the challenge in malicious mode.
    fn expand<'py>(&self, py: Python<'py>, trees: Input, rng: &Rng) -> Result<Option<Bound<'py, PyBytes>>, CoreError> {
        let challenge = py.detach(|| {
            let started = self.started.take("trees")?;
            let expanded = rng.with(|rng| started.expand(&trees, rng))?;
            let challenge = expanded.challenge().map(<[u8]>::to_vec);
            self.expanded.set(expanded);
            Ok::<_, Error>(challenge)
        })?;
        Ok(challenge.map(|challenge| PyBytes::new(py, &challenge)))
    }

    /// Check the sender's answer in malicious mode; return the receiver's part.
    #[pyo3(signature = (answer=None))]
    fn finish(&self, py: Python<'_>, answer: Option<Input>) -> Result<VoleVectors, CoreError> {
        let vectors = py.detach(|| self.expanded.take("vectors")?.finish(answer.as_deref()))?;
        Ok(VoleVectors(State::new(vectors)))
    }
}

/// The sender's part of a VOLE: delta and shares. Used once.
#[pyclass(frozen, module = "psc._core")]
pub struct VoleShares(State<sender::Shares>);

/// The receiver's part of a VOLE: factors and products. Used once.
#[pyclass(frozen, module = "psc._core")]
pub struct VoleVectors(State<receiver::Vectors>);

/// Return the elements of the receiver's table, which is the number of a VOLE's outputs, and the bytes of a tag.
#[pyfunction]
#[pyo3(signature = (receiver_size, sender_size, malicious, shards=1))]
pub fn vole_psi_shape(
    receiver_size: usize,
    sender_size: usize,
    malicious: bool,
    shards: usize,
) -> Result<(usize, usize), CoreError> {
    let parameters = vole_psi::Parameters::new(receiver_size, sender_size, mode(malicious))?.in_shards(shards)?;
    Ok((parameters.columns(), parameters.tag_bytes()))
}

/// The receiver of a vole-psi.
#[pyclass(frozen, module = "psc._core")]
pub struct VolePsiReceiver(State<vole_psi::Receiver>);

#[pymethods]
impl VolePsiReceiver {
    /// Draw the seed.
    #[staticmethod]
    #[pyo3(signature = (context, receiver_size, sender_size, malicious, commitment, rng, shards=1))]
    fn start(
        context: Input,
        receiver_size: usize,
        sender_size: usize,
        malicious: bool,
        commitment: Option<Input>,
        rng: &Rng,
        shards: usize,
    ) -> Result<Self, CoreError> {
        let parameters = vole_psi::Parameters::new(receiver_size, sender_size, mode(malicious))?.in_shards(shards)?;
        let receiver = rng.with(|rng| vole_psi::Receiver::new(&context, parameters, commitment.as_deref(), rng))?;
        Ok(Self(State::new(receiver)))
    }

    /// Return the first message.
    fn seed<'py>(&self, py: Python<'py>) -> Bytes<'py> {
        let seed = self.0.with("seed", |receiver| Ok(*receiver.seed()))?;
        Ok(PyBytes::new(py, &seed))
    }

    /// Encode the items and mask the table.
    fn encode(&self, py: Python<'_>, items: &Items, vectors: &VoleVectors) -> Result<(), CoreError> {
        Ok(py.detach(|| {
            let vectors = vectors.0.take("vectors")?;
            self.0.with("items", |receiver| receiver.encode(&items.0, vectors))
        })?)
    }

    /// Return the elements `start..stop` of the masked table.
    fn masked<'py>(&self, py: Python<'py>, start: usize, stop: usize) -> Bytes<'py> {
        let piece = py.detach(|| self.0.with("table", |receiver| receiver.masked(start, stop)))?;
        Ok(PyBytes::new(py, &piece))
    }

    /// Return the receiver's mask in malicious mode.
    fn mask<'py>(&self, py: Python<'py>) -> Result<Option<Bound<'py, PyBytes>>, CoreError> {
        let mask = self.0.with("mask", |receiver| Ok(receiver.mask()))?;
        Ok(mask.map(|mask| PyBytes::new(py, &mask)))
    }

    /// Forget the table; in malicious mode check the sender's opening.
    #[pyo3(signature = (opening=None))]
    fn finish(&self, py: Python<'_>, opening: Option<Input>) -> Result<VolePsiOutputs, CoreError> {
        Ok(VolePsiOutputs(py.detach(|| self.0.take("outputs")?.finish(opening.as_deref()))?))
    }
}

/// The sender of a vole-psi.
#[pyclass(frozen, module = "psc._core")]
pub struct VolePsiSender(State<vole_psi::Sender>);

#[pymethods]
impl VolePsiSender {
    /// Take the sender's part of the VOLE.
    #[staticmethod]
    #[pyo3(signature = (context, receiver_size, sender_size, malicious, shares, rng, shards=1))]
    #[allow(clippy::too_many_arguments, reason = "the Python signature")]
    fn start(
        py: Python<'_>,
        context: Input,
        receiver_size: usize,
        sender_size: usize,
        malicious: bool,
        shares: &VoleShares,
        rng: &Rng,
        shards: usize,
    ) -> Result<Self, CoreError> {
        let sender = py.detach(|| {
            let parameters =
                vole_psi::Parameters::new(receiver_size, sender_size, mode(malicious))?.in_shards(shards)?;
            let shares = shares.0.take("shares")?;
            rng.with(|rng| vole_psi::Sender::new(&context, parameters, shares, rng))
        })?;
        Ok(Self(State::new(sender)))
    }

    /// Return the commitment to the sender's mask in malicious mode.
    fn commitment<'py>(&self, py: Python<'py>) -> Result<Option<Bound<'py, PyBytes>>, CoreError> {
        let commitment = self.0.with("commitment", |sender| Ok(sender.commitment()))?;
        Ok(commitment.map(|commitment| PyBytes::new(py, &commitment)))
    }

    /// Take the receiver's seed and hash the items.
    fn hash(&self, py: Python<'_>, seed: Input, items: &Items) -> Result<(), CoreError> {
        Ok(py.detach(|| self.0.with("seed", |sender| sender.hash(&seed, &items.0)))?)
    }

    /// Take the next elements of the receiver's masked table.
    fn absorb(&self, py: Python<'_>, piece: Input) -> Result<(), CoreError> {
        Ok(py.detach(|| self.0.with("table", |sender| sender.absorb(&piece)))?)
    }

    /// In malicious mode take the receiver's mask; return the opening.
    fn open<'py>(&self, py: Python<'py>, mask: Input) -> Bytes<'py> {
        let opening = self.0.with("mask", |sender| sender.open(&mask))?;
        Ok(PyBytes::new(py, &opening))
    }

    /// Evaluate.
    fn finish(&self, py: Python<'_>) -> Result<VolePsiOutputs, CoreError> {
        Ok(VolePsiOutputs(py.detach(|| self.0.take("outputs")?.finish())?))
    }
}

/// A party that can evaluate its items.
#[pyclass(frozen, module = "psc._core")]
pub struct VolePsiOutputs(vole_psi::Evaluated);

#[pymethods]
impl VolePsiOutputs {
    /// Compute the tags now, so that what needs them later does not.
    fn prepare(&self, py: Python<'_>) -> Result<(), CoreError> {
        Ok(py.detach(|| self.0.prepare())?)
    }

    /// Return the tags of the items, in their order.
    fn tags<'py>(&self, py: Python<'py>) -> Bytes<'py> {
        let tags = py.detach(|| self.0.tags_in_order())?;
        Ok(PyBytes::new(py, &tags))
    }

    /// Return the tags of the items, sorted, and for each the position of its item.
    fn sorted_tags<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyBytes>, Array<'py>)> {
        let (tags, order) = py.detach(|| self.0.sorted_tags()).map_err(CoreError)?;
        Ok((PyBytes::new(py, &tags), uint32_array(py, &order)?))
    }

    /// Return for each item the first position of its tag among the sender's sorted ones, or -1.
    fn find<'py>(&self, py: Python<'py>, sorted_tags: Vec<Input>) -> PyResult<Array<'py>> {
        let parts: Vec<&[u8]> = sorted_tags.iter().map(|part| &**part).collect();
        let found = py.detach(|| self.0.find(&parts)).map_err(CoreError)?;
        int64_array(py, &found)
    }

    /// Return all bytes of the outputs, in order of the items: for sealed rows.
    fn outputs(&self, py: Python<'_>) -> Result<OprfOutputs, CoreError> {
        Ok(OprfOutputs(py.detach(|| self.0.outputs())?))
    }
}
