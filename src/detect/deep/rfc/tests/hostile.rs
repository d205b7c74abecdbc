//! Bytes that are no weights.

use proptest::prelude::*;

use crate::detect::deep::rfc::file;
use crate::detect::deep::rfc::*;
use crate::detect::frame;

/// One of each kind of weights, of networks so small that a thousand attempts take a moment.
fn small() -> &'static [Vec<u8>; 3] {
    static SMALL: std::sync::OnceLock<[Vec<u8>; 3]> = std::sync::OnceLock::new();
    SMALL.get_or_init(|| {
        let settings = Settings { latent: 2, widths: [2, 1], ..Settings::default() };
        let history: Vec<f32> = (0..40).map(|i| (i as f32).sin()).collect();
        let class = |i| if i % 4 == 0 { Class::anomaly("x") } else { Class::Normal };
        let data = Example::sliding(&history, 4, 1, class);
        macro_rules! train {
            ($type:ident) => {{
                let mut network = $type::new(4, 1, settings).unwrap();
                network.train(2, 4, &data).unwrap();
                network.export_weights()
            }};
        }
        [train!(ConvAutoencoder), train!(ConvClassifier), train!(SiameseNetwork)]
    })
}

/// The bytes of a header that lies, and whose hash is right.
fn signed(mut json: serde_json::Value, numbers: &[u8]) -> Vec<u8> {
    if let Ok(tensors) = serde_json::from_value::<Vec<frame::TensorHead>>(json["tensors"].clone()) {
        json["sha256"] = file::digest(&json["network"], &tensors, numbers).into();
    }
    let mut bytes = frame::join(&serde_json::to_vec(&json).unwrap(), &[]);
    bytes.extend_from_slice(numbers);
    bytes
}

/// Whether any of the three takes the bytes.
fn taken(bytes: &[u8]) -> bool {
    let window = [1.0; 4];
    let autoencoder = ConvAutoencoder::from_weights(bytes);
    let classifier = ConvClassifier::from_weights(bytes);
    let siamese = SiameseNetwork::from_weights(bytes);
    // What is taken must also work.
    let _ = autoencoder.as_ref().map(|n| n.predict(&[&window]));
    let _ = classifier.as_ref().map(|n| n.predict(&[&window]));
    let _ = siamese.as_ref().map(|n| n.predict(&[&window]));
    autoencoder.is_ok() || classifier.is_ok() || siamese.is_ok()
}

/// The weights of such a network would take two gigabytes: they must not be drawn only to be replaced.
#[test]
fn a_header_that_claims_a_huge_network_costs_nothing() {
    for bytes in small() {
        let (header, numbers) = frame::split(bytes).unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(header).unwrap();
        json["network"]["shape"] = serde_json::json!({
            "window": 1024, "inputs": 8192, "outputs": 4096, "widths": [1024, 1024], "latent": 1024,
        });
        let huge = signed(json, numbers);
        let start = std::time::Instant::now();
        assert!(!taken(&huge));
        assert!(start.elapsed() < std::time::Duration::from_millis(500), "{:?}", start.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A flipped byte, a cut, or anything at all is an error, never a panic.
    #[test]
    fn hostile_bytes_are_refused(which in 0usize..3, at in 0.0f64..1.0, flip in 1u8.., noise in any::<Vec<u8>>()) {
        let bytes = &small()[which];
        prop_assert!(taken(bytes));
        let place = (at * bytes.len() as f64) as usize;
        prop_assert!(!taken(&bytes[..place]));
        prop_assert!(!taken(&noise));
        let mut changed = bytes.clone();
        changed[place] ^= flip;
        prop_assert!(!taken(&changed), "{}", place);
    }

    /// Headers that lie about sizes.
    #[test]
    fn lying_headers_are_refused(which in 0usize..3, key in 0usize..8, value in prop_oneof![
        Just(serde_json::json!(0)), Just(serde_json::json!(-1)), Just(serde_json::json!(1u64 << 40)),
        Just(serde_json::json!(u64::MAX)), Just(serde_json::json!([])), Just(serde_json::json!(null)),
        Just(serde_json::json!([[[1]]])), Just(serde_json::json!({"groups": [], "kinds": [], "known": []})),
    ]) {
        let (header, numbers) = frame::split(&small()[which]).unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(header).unwrap();
        let target = match key {
            0 => &mut json["network"]["shape"]["window"],
            1 => &mut json["network"]["shape"]["outputs"],
            2 => &mut json["network"]["shape"]["latent"],
            3 => &mut json["network"]["shape"]["widths"][0],
            4 => &mut json["tensors"][0]["shape"][0],
            5 => &mut json["tensors"],
            6 => &mut json["network"]["trained"],
            _ => &mut json["format"],
        };
        *target = value;
        prop_assert!(!taken(&signed(json, numbers)));
    }
}
