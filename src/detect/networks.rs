//! What a build without the networks says of them, and what takes their place in a shipped watch.

/// The detectors that only the cargo feature `deep` brings.
pub const NETWORKS: &[&str] = &["autoencoder", "classifier", "siamese"];

/// What judges all features of an entity at once without a network; several, so that a second one bears
/// witness.
const INSTEAD: &[&str] = &["pca", "var"];

/// Why there is no detector of this name, where that is since this program was built without networks.
pub fn left_out(name: &str) -> Option<String> {
    let left_out = !cfg!(feature = "deep") && NETWORKS.contains(&name);
    left_out.then(|| {
        let instead = INSTEAD.join(", ");
        format!(
            "{name} is a network, and this portent was built without the networks (cargo feature \
             \"deep\"); wanted a build with them, or detectors such as {instead}"
        )
    })
}

/// Detectors of a shipped watch, as far as this build (`with_networks` or not) has them: where it lacks
/// one, the joint ones that need no network take its place.
pub fn at_hand(names: Vec<String>, with_networks: bool) -> Vec<String> {
    if with_networks || !names.iter().any(|name| NETWORKS.contains(&name.as_str())) {
        return names;
    }
    let mut left: Vec<String> =
        names.into_iter().filter(|name| !NETWORKS.contains(&name.as_str())).collect();
    let missing = INSTEAD.iter().filter(|name| !left.iter().any(|known| known == *name));
    let missing: Vec<String> = missing.map(|name| (*name).to_string()).collect();
    left.extend(missing);
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Config;

    #[test]
    fn every_network_is_a_detector_or_says_why_not() {
        for name in NETWORKS {
            assert_eq!(Config::named(name).is_some(), left_out(name).is_none(), "{name}");
            assert_eq!(Config::named(name).is_some(), cfg!(feature = "deep"), "{name}");
        }
        assert_eq!(left_out("stl"), None);
        assert_eq!(left_out("no such thing"), None);
    }

    #[test]
    fn joint_detectors_take_the_place_of_networks() {
        let of =
            |names: &[&str], with| at_hand(names.iter().map(|n| n.to_string()).collect(), with);
        assert_eq!(of(&["autoencoder"], false), INSTEAD);
        assert_eq!(of(&["siamese", "var", "autoencoder"], false), ["var", "pca"]);
        assert_eq!(of(&["stl", "classifier"], false), ["stl", "pca", "var"]);
        assert_eq!(of(&["seasonal_median", "stl"], false), ["seasonal_median", "stl"]);
        assert_eq!(of(&["autoencoder"], true), ["autoencoder"]);
        assert!(INSTEAD.iter().all(|name| Config::named(name).is_some_and(|d| d.joint())));
    }
}
