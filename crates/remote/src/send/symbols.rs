//! Texts of labels, stored once and reference-counted; series refer to them by number.

use std::collections::HashMap;
use std::sync::Arc;

/// Texts by number.
#[derive(Debug, Default)]
pub struct Symbols {
    numbers: HashMap<Arc<str>, u32>,
    /// A free number has the empty text and no references.
    texts: Vec<(Arc<str>, u32)>,
    free: Vec<u32>,
    /// Numbers that become free once no message under construction contains them.
    retired: Vec<u32>,
}

impl Symbols {
    /// Returns the number of a text and adds a reference.
    pub fn take(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            self.texts[*number as usize].1 += 1;
            return *number;
        }
        let shared: Arc<str> = text.into();
        let entry = (shared.clone(), 1);
        let number = match self.free.pop() {
            Some(number) => {
                self.texts[number as usize] = entry;
                number
            }
            None => {
                self.texts.push(entry);
                // Memory would be exhausted before that.
                u32::try_from(self.texts.len() - 1).expect("fewer than four billion texts")
            }
        };
        self.numbers.insert(shared, number);
        number
    }

    /// Removes a reference. Without any, the text is dropped and its number waits for [`Symbols::recycle`].
    pub fn release(&mut self, number: u32) {
        let (text, uses) = &mut self.texts[number as usize];
        *uses -= 1;
        if *uses == 0 {
            self.numbers.remove(text);
            *text = "".into();
            self.retired.push(number);
        }
    }

    /// Lets numbers without a text be reused.
    pub fn recycle(&mut self) {
        self.free.append(&mut self.retired);
    }

    /// The text with this number.
    pub fn text(&self, number: u32) -> &str {
        &self.texts[number as usize].0
    }

    /// The largest number of texts in use so far.
    #[cfg(test)]
    pub fn slots(&self) -> usize {
        self.texts.len()
    }

    /// The number of texts.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_once_and_dropped_with_their_last_use() {
        let mut symbols = Symbols::default();
        let (job, api) = (symbols.take("job"), symbols.take("api"));
        assert_eq!((symbols.take("job"), symbols.len()), (job, 2));
        symbols.release(job);
        assert_eq!(symbols.text(job), "job");
        symbols.release(job);
        assert_eq!(symbols.len(), 1);
        assert_ne!(symbols.take("pod"), job, "its number is not used again yet");
        symbols.recycle();
        assert_eq!(symbols.take("instance"), job, "its number is used again");
        assert_eq!((symbols.text(job), symbols.text(api)), ("instance", "api"));
    }
}
