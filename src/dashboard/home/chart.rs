//! Charts as shapes of an SVG that is drawn on the server, each with the same numbers as a table. Pure.
//!
//! The picture is stretched to the width of the page, so it holds shapes only; words stand beside it, in HTML.

/// The size of the picture, in its own units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;

/// One kind of thing over time.
pub struct Series<T> {
    /// Says which colour.
    pub class: &'static str,
    pub name: &'static str,
    /// One for each step.
    pub values: Vec<T>,
}

/// A shape of the picture.
pub enum Shape {
    Bar { class: &'static str, x: f64, y: f64, width: f64, height: f64 },
    Line { class: &'static str, path: String },
}

/// What a step tells when somebody points at it.
pub struct Hint {
    pub x: f64,
    pub text: String,
}

/// A chart, ready to be shown.
pub struct Chart {
    pub id: &'static str,
    pub title: &'static str,
    /// The most important number, in words.
    pub headline: String,
    pub detail: String,
    /// The picture in a sentence.
    pub summary: String,
    pub shapes: Vec<Shape>,
    pub hints: Vec<Hint>,
    /// Width of a step.
    pub step: f64,
    /// Classes and names.
    pub legend: Vec<(&'static str, &'static str)>,
    /// What the upper edge and the middle of the picture stand for.
    pub top: String,
    pub middle: String,
    /// When the first, the middle and the last step begin.
    pub times: [String; 3],
    /// Times and values.
    pub rows: Vec<(String, Vec<String>)>,
    pub is_empty: bool,
}

/// What the charts of a page share.
pub struct Frame {
    /// When each step begins, as people write it.
    pub steps: Vec<String>,
    pub period: &'static str,
}

impl Frame {
    /// Counts on top of each other.
    pub fn bars(
        self,
        (id, title): (&'static str, &'static str),
        headline: String,
        detail: String,
        series: [Series<f64>; 2],
    ) -> Chart {
        let step = WIDTH / self.steps.len().max(1) as f64;
        let heights = series[0].values.iter().zip(&series[1].values).map(|(one, other)| one + other);
        let top = nice(heights.fold(0.0, f64::max));
        let mut shapes = Vec::new();
        for (at, x) in (0..self.steps.len()).map(|at| (at, at as f64 * step)) {
            let mut y = HEIGHT;
            for one in &series {
                let height = one.values[at] / top * HEIGHT;
                y -= height;
                if height > 0.0 {
                    shapes.push(Shape::Bar {
                        class: one.class,
                        x: round(x + step * 0.12),
                        y: round(y),
                        width: round(step * 0.76),
                        height: round(height),
                    });
                }
            }
        }
        let values: Vec<Series<Option<f64>>> = series
            .into_iter()
            .map(|one| Series {
                class: one.class,
                name: one.name,
                values: one.values.into_iter().map(Some).collect(),
            })
            .collect();
        self.chart((id, title), headline, detail, shapes, &values, top, &|count| grouped(count as i64))
    }

    /// Values that go up and down; a gap is where nothing is known.
    pub fn lines(
        self,
        (id, title): (&'static str, &'static str),
        headline: String,
        detail: String,
        series: Vec<Series<Option<f64>>>,
        write: impl Fn(f64) -> String,
    ) -> Chart {
        let step = WIDTH / self.steps.len().max(1) as f64;
        let top =
            nice(series.iter().flat_map(|one| one.values.iter().flatten()).copied().fold(0.0, f64::max));
        let shapes = series
            .iter()
            .map(|one| Shape::Line { class: one.class, path: path(&one.values, step, top) })
            .filter(|shape| !matches!(shape, Shape::Line { path, .. } if path.is_empty()))
            .collect();
        self.chart((id, title), headline, detail, shapes, &series, top, &write)
    }

    #[expect(clippy::too_many_arguments, reason = "private, and called by the two above only")]
    fn chart(
        self,
        (id, title): (&'static str, &'static str),
        headline: String,
        detail: String,
        shapes: Vec<Shape>,
        series: &[Series<Option<f64>>],
        top: f64,
        write: &dyn Fn(f64) -> String,
    ) -> Chart {
        let count = self.steps.len();
        let step = WIDTH / count.max(1) as f64;
        let told = |at: usize| -> Vec<String> {
            let values = series.iter().map(|one| one.values.get(at).copied().flatten());
            values.map(|value| value.map_or("nothing".to_owned(), write)).collect()
        };
        let hint = |(at, time): (usize, &String)| {
            let values: Vec<String> =
                series.iter().zip(told(at)).map(|(one, value)| format!("{}: {value}", one.name)).collect();
            Hint { x: round(at as f64 * step), text: format!("{time}\n{}", values.join("\n")) }
        };
        let time = |at: usize| self.steps.get(at).cloned().unwrap_or_default();
        Chart {
            id,
            title,
            summary: format!(
                "{title}, last {}: {headline}, {detail}. The numbers are in the table below.",
                self.period
            ),
            headline,
            detail,
            is_empty: shapes.is_empty(),
            shapes,
            hints: self.steps.iter().enumerate().map(hint).collect(),
            step: round(step),
            legend: series.iter().map(|one| (one.class, one.name)).collect(),
            top: write(top),
            middle: write(top / 2.0),
            times: [time(0), time(count / 2), time(count.saturating_sub(1))],
            rows: self.steps.iter().enumerate().map(|(at, time)| (time.clone(), told(at))).collect(),
        }
    }
}

/// A line that stays level for each step, so that a single value is seen too.
fn path(values: &[Option<f64>], step: f64, top: f64) -> String {
    let mut path = String::new();
    let mut is_down = false;
    for (at, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_down = false;
            continue;
        };
        let (x, y) = (at as f64 * step, HEIGHT - value / top * HEIGHT);
        let move_to = if is_down { format!("V{}", round(y)) } else { format!("M{} {}", round(x), round(y)) };
        path.push_str(&format!("{move_to}H{}", round(x + step)));
        is_down = true;
    }
    path
}

/// The first round number from `most` on, whose half is one too.
fn nice(most: f64) -> f64 {
    if most <= 2.0 {
        return 2.0;
    }
    let unit = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * unit).find(|candidate| *candidate >= most).unwrap_or(most)
}

/// A hundredth of a unit is less than anybody sees.
fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// 12345: 12,345
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(steps: usize) -> Frame {
        Frame { steps: (0..steps).map(|step| format!("{step}:00")).collect(), period: "2 hours" }
    }

    #[test]
    fn bars_stand_on_each_other() {
        let series = [
            Series { class: "good", name: "Good", values: vec![3.0, 0.0] },
            Series { class: "bad", name: "Bad", values: vec![1.0, 0.0] },
        ];
        let chart = frame(2).bars(("id", "Title"), "4 calls".into(), "1 failed".into(), series);
        let shapes: Vec<(&str, f64, f64)> = chart
            .shapes
            .iter()
            .map(|shape| match shape {
                Shape::Bar { class, y, height, .. } => (*class, *y, *height),
                Shape::Line { .. } => panic!("no line"),
            })
            .collect();
        assert_eq!(shapes, [("good", 30.0, 90.0), ("bad", 0.0, 30.0)]);
        assert_eq!((chart.top.as_str(), chart.middle.as_str()), ("4", "2"));
        assert_eq!(chart.rows[0], ("0:00".to_owned(), vec!["3".to_owned(), "1".to_owned()]));
        assert_eq!(chart.hints[1].text, "1:00\nGood: 0\nBad: 0");
        assert!(!chart.is_empty);
    }

    #[test]
    fn lines_have_gaps_where_nothing_is_known() {
        assert_eq!(path(&[Some(2.0), Some(1.0), None, Some(0.0)], 10.0, 2.0), "M0 0H10V60H20M30 120H40");
        let nothing = Series { class: "calm", name: "Half", values: vec![None, None] };
        let chart =
            frame(2).lines(("id", "Title"), "x".into(), "y".into(), vec![nothing], |value| value.to_string());
        assert!(chart.is_empty);
        assert_eq!(chart.rows[1].1, ["nothing"]);
    }

    #[test]
    fn edges_are_round_numbers() {
        for (most, expected) in
            [(0.0, 2.0), (1.0, 2.0), (3.0, 4.0), (10.0, 10.0), (11.0, 20.0), (4711.0, 6000.0)]
        {
            assert_eq!(nice(most), expected, "{most}");
        }
    }

    #[test]
    fn long_numbers_are_grouped() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(grouped(number), expected);
        }
    }
}
