//! Classes of Fashion-MNIST by name, of any labelled data by number.

use std::str::FromStr;

use super::error::ImageError;

/// Names of the labels 0 to 9 of Fashion-MNIST.
pub const NAMES: [&str; 10] = [
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
];
/// What the paper's "shoes" stands for here: Fashion-MNIST has no such class, but three kinds of footwear.
pub const SHOES: [u8; 3] = [5, 7, 9];

/// One label, or several that count as one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    name: String,
    labels: Vec<u8>,
}

impl Class {
    /// Whether images with this label belong to it.
    #[must_use]
    pub fn holds(&self, label: u8) -> bool {
        self.labels.contains(&label)
    }

    /// The name it was asked for by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }
}

impl FromStr for Class {
    type Err = ImageError;

    /// Reads `shoes` (sandal, sneaker and ankle-boot together), a name of [`NAMES`], or a label from 0 to 255.
    fn from_str(text: &str) -> Result<Self, ImageError> {
        let name = text.trim().to_lowercase().replace([' ', '_'], "-");
        let labels = match name.as_str() {
            "shoes" | "footwear" => SHOES.to_vec(),
            "t-shirt/top" | "top" => vec![0],
            "boot" => vec![9],
            other => match NAMES.iter().position(|n| *n == other) {
                Some(label) => vec![label as u8],
                None => vec![other.parse().map_err(|_| ImageError::NoClass {
                    asked: text.to_owned(),
                    known: format!(
                        "shoes (sandal, sneaker and ankle-boot), {}",
                        NAMES.join(", ")
                    ),
                })?],
            },
        };
        Ok(Self { name, labels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_shoes() {
        let labels = |t: &str| t.parse::<Class>().map(|c| c.labels);
        assert_eq!(labels("dress").unwrap(), [3]);
        assert_eq!(labels("Ankle boot").unwrap(), [9]);
        assert_eq!(labels("shoes").unwrap(), [5, 7, 9]);
        assert_eq!(labels("17").unwrap(), [17]);
        for bad in ["hat", "256", "-1", ""] {
            assert!(labels(bad).unwrap_err().to_string().contains("sneaker"));
        }
        assert!("shoes".parse::<Class>().unwrap().holds(7));
    }
}
