//! The picture of a provider: its initials on a colour that follows from its name. The Connect UI draws the same picture
//! itself (`js/connect/monogram.js`), so that nothing is loaded for it and a provider looks the same everywhere.

/// The tones of `connect.css`, all of them dark enough for white letters.
const TONES: [&str; 14] = [
    "#4f46e5", "#7c3aed", "#a21caf", "#be185d", "#be123c", "#c2410c", "#a16207", "#4d7c0f", "#15803d",
    "#0f766e", "#0e7490", "#0369a1", "#1d4ed8", "#475569",
];

/// An SVG document for the provider `name` that is shown as `title`.
pub fn monogram(name: &str, title: &str) -> String {
    let (tone, initials) = (tone(name), initials(title));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\" role=\"img\">\
         <rect width=\"64\" height=\"64\" rx=\"17\" fill=\"{tone}\"/>\
         <text x=\"32\" y=\"33\" fill=\"#fff\" font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,sans-serif\" \
         font-size=\"22\" font-weight=\"650\" text-anchor=\"middle\" dominant-baseline=\"central\">{initials}</text></svg>"
    )
}

fn tone(name: &str) -> &'static str {
    let hash =
        name.chars().fold(2_166_136_261_u32, |hash, char| (hash ^ u32::from(char)).wrapping_mul(16_777_619));
    // The low bits of FNV-1a mix badly. Signed, because that is what the bits are in the script.
    let mixed = ((hash >> 16) ^ hash).cast_signed();
    TONES[mixed.unsigned_abs() as usize % TONES.len()]
}

/// The first letter or digit of the first two words; nothing that would need escaping.
fn initials(title: &str) -> String {
    let words = title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let initials: String =
        words.take(2).filter_map(|word| word.chars().next()).flat_map(char::to_uppercase).collect();
    if initials.is_empty() { "•".to_owned() } else { initials }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLES: &str = include_str!("../../assets/static/css/connect.css");

    #[test]
    fn initials_are_letters_and_digits_of_two_words() {
        for (title, expected) in [
            ("GitHub", "G"),
            ("acme-crm", "AC"),
            ("<b>&x</b> y", "BX"),
            ("3CX phone system", "3P"),
            ("--", "•"),
        ] {
            assert_eq!(initials(title), expected, "{title}");
        }
    }

    #[test]
    fn the_tones_are_those_of_the_page() {
        for (index, tone) in TONES.iter().enumerate() {
            let rule = format!(".tone-{index} {{ background: {tone}; }}");
            assert!(STYLES.contains(&rule), "{rule}");
        }
        assert!(!STYLES.contains(&format!(".tone-{} ", TONES.len())));
    }

    #[test]
    fn names_have_tones_of_their_own() {
        let used: std::collections::BTreeSet<_> =
            (0..100).map(|index| tone(&format!("provider-{index}"))).collect();
        assert_eq!(used.len(), TONES.len());
    }
}
