use super::Id;
use super::object::{object, words};
use crate::event::Time;

object! {
    /// An attachment of a conversation message.
    pub struct Media {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// What kind it is.
        kind as "type": Option<MediaType> = Omit;
        /// The name of the file.
        filename: Option<String> = Omit;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

words! {
    /// What kind of attachment it is.
    pub enum MediaType {
        /// A picture.
        Image = "image",
        /// A video.
        Video = "video",
        /// Sound.
        Audio = "audio",
        /// A file.
        File = "file",
        /// A place.
        Location = "location",
        /// A sticker.
        Sticker = "sticker",
        /// A LINE template.
        Template = "template",
        /// A LINE image map.
        Imagemap = "imagemap",
        /// A LINE flex message.
        Flex = "flex",
    }
}
