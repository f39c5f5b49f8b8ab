//! A table of figures: one row for each server, and their ratios to the first.

/// Figures of each server, printed with their ratios to the first.
#[derive(Default)]
pub struct Figures {
    columns: Vec<&'static str>,
    rows: Vec<(&'static str, Vec<f64>)>,
}

impl Figures {
    pub fn row(&mut self, name: &'static str, figures: &[(&'static str, f64)]) {
        self.columns = figures.iter().map(|(column, _)| *column).collect();
        self.rows.push((name, figures.iter().map(|(_, figure)| *figure).collect()));
    }

    pub fn print(&self) {
        print!("{:18}", "");
        self.columns.iter().for_each(|column| print!("{column:>15}"));
        println!();
        for (name, figures) in &self.rows {
            print!("{name:18}");
            figures.iter().for_each(|figure| print!("{:>15}", shown(*figure)));
            println!();
        }
        let Some(((_, ferula), peers)) = self.rows.split_first() else { return };
        for (name, figures) in peers {
            print!("{:18}", format!("ferula/{}", name.split('-').next().unwrap_or(name)));
            for (ours, theirs) in ferula.iter().zip(figures) {
                print!(
                    "{:>15}",
                    if *theirs == 0.0 { "-".to_owned() } else { format!("{:.2}", ours / theirs) }
                );
            }
            println!();
        }
    }
}

fn shown(figure: f64) -> String {
    if figure.abs() >= 1000.0 { format!("{figure:.0}") } else { format!("{figure:.3}") }
}
