use std::collections::VecDeque;

/// First in, first out, in blocks: it never copies much to grow, and never holds more than two blocks that are
/// not full. A block has some so many bytes.
pub(super) struct Blocks<T, const BYTES: usize = 40_960> {
    blocks: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T, const BYTES: usize> Blocks<T, BYTES> {
    /// How many are in a full block.
    const BLOCK: usize = match BYTES / size_of::<T>() {
        0 => 1,
        some => some,
    };

    pub(super) const fn new() -> Self {
        Self {
            blocks: VecDeque::new(),
            len: 0,
        }
    }

    pub(super) fn push(&mut self, item: T) {
        self.len += 1;
        match self.blocks.back_mut() {
            Some(block) if block.len() < Self::BLOCK => block.push_back(item),
            _ => {
                // The first block grows as needed, so that a quiet receiver stays small.
                let room = if self.blocks.is_empty() {
                    0
                } else {
                    Self::BLOCK
                };
                let mut block = VecDeque::with_capacity(room);
                block.push_back(item);
                self.blocks.push_back(block);
            }
        }
    }

    pub(super) fn first(&self) -> Option<&T> {
        self.blocks.front()?.front()
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let first = self.blocks.front_mut()?.pop_front();
        self.len -= usize::from(first.is_some());
        // The last block is used again.
        if self.blocks.len() > 1 && self.blocks.front().is_some_and(VecDeque::is_empty) {
            self.blocks.pop_front();
        }
        first
    }

    /// Leaves out what does not stay.
    pub(super) fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        let mut left = Self::new();
        while let Some(item) = self.pop() {
            if stays(&item) {
                left.push(item);
            }
        }
        *self = left;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T, const BYTES: usize> Default for Blocks<T, BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests {
    use super::*;

    type Big = [u8; 1024];

    #[test]
    fn what_comes_first_goes_first_over_all_blocks() {
        let mut blocks: Blocks<(u16, [u8; 1022])> = Blocks::default();
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
        assert_eq!(blocks.blocks.len(), 25);
        while blocks.pop().is_some() {}
        assert_eq!(blocks.blocks.len(), 1);
        assert!(blocks.blocks[0].capacity() <= 40);
    }
}
