use std::collections::VecDeque;

/// First in, first out, in blocks: it never copies much to grow, and never holds more than two blocks that are
/// not full.
pub(super) struct Blocks<T>(VecDeque<VecDeque<T>>);

impl<T> Blocks<T> {
    /// How many are in a full block: some 40 KB of them.
    const BLOCK: usize = match 40_960 / size_of::<T>() {
        0 => 1,
        some => some,
    };

    pub(super) fn push(&mut self, item: T) {
        match self.0.back_mut() {
            Some(block) if block.len() < Self::BLOCK => block.push_back(item),
            _ => {
                // The first block grows as needed, so that a quiet receiver stays small.
                let room = if self.0.is_empty() { 0 } else { Self::BLOCK };
                let mut block = VecDeque::with_capacity(room);
                block.push_back(item);
                self.0.push_back(block);
            }
        }
    }

    pub(super) fn first(&self) -> Option<&T> {
        self.0.front()?.front()
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let first = self.0.front_mut()?.pop_front();
        // The last block is used again.
        if self.0.len() > 1 && self.0.front().is_some_and(VecDeque::is_empty) {
            self.0.pop_front();
        }
        first
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(VecDeque::len).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first().is_none()
    }
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests {
    use super::*;

    type Big = [u8; 1024];

    #[test]
    fn what_comes_first_goes_first_over_all_blocks() {
        let mut blocks = Blocks::default();
        let (mut pushed, mut popped) = (0_u16.., 0_u16..);
        for (more, fewer) in [(1, 1), (100, 30), (40, 110), (200, 199), (3, 4)] {
            for number in pushed.by_ref().take(more) {
                blocks.push((number, [0; 1022]));
            }
            for number in popped.by_ref().take(fewer) {
                assert_eq!(blocks.first().map(|(first, _)| *first), Some(number));
                assert_eq!(blocks.pop().map(|(first, _)| first), Some(number));
            }
        }
        assert!(blocks.is_empty());
        assert_eq!((blocks.len(), blocks.pop().is_none()), (0, true));
    }

    #[test]
    fn nothing_is_left_of_many_but_a_block() {
        let mut blocks: Blocks<Big> = Blocks::default();
        (0..1000).for_each(|_| blocks.push([0; 1024]));
        assert_eq!(blocks.len(), 1000);
        assert_eq!(blocks.0.len(), 25);
        while blocks.pop().is_some() {}
        assert_eq!(blocks.0.len(), 1);
        assert!(blocks.0[0].capacity() <= 40);
    }
}
