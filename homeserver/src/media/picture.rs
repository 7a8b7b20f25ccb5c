//! Making a picture smaller: bytes in, bytes out, on a thread that may block.
//!
//! What a picture claims to be is not believed: its kind is read from its first bytes, its size before its pixels, and
//! what would need more memory than allowed fails.

use std::{io::Cursor, path::Path};

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, codecs::jpeg::JpegEncoder,
    imageops::FilterType, metadata::Orientation,
};

/// How a picture is fitted into the wanted size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Cut to the wanted proportions.
    Crop,
    /// Whole, within the wanted size.
    Scale,
}

/// A size that is kept: few are, so that nobody fills the disk by asking for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub width: u32,
    pub height: u32,
    pub method: Method,
}

/// What comes of a picture.
#[derive(Debug)]
pub(super) enum Picture {
    /// It is not larger than what was wanted.
    SmallEnough,
    /// The smaller one, encoded.
    Made(Vec<u8>),
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum PictureError {
    #[error("the picture has more pixels than this server works on")]
    TooLarge,
    #[error("this is no picture that this server can read")]
    Unreadable,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Sides that are made; what is asked for is rounded up to the next. The protocol's own sizes are among them.
const SIDES: [u32; 12] = [32, 64, 96, 128, 240, 320, 480, 600, 640, 800, 1200, 1600];
/// 128 MB as they are decoded.
const MAX_PIXELS: u64 = 32_000_000;
const MAX_MEMORY: u64 = 256 << 20;
/// The longest file that is read: some decoders hold all of it.
const MAX_FILE: u64 = 64 << 20;
const JPEG_QUALITY: u8 = 80;

impl Wanted {
    /// The size that is made for those who ask for this one.
    #[must_use]
    pub fn rounded(self) -> Self {
        let round = |side: u32| SIDES.into_iter().find(|made| *made >= side).unwrap_or(SIDES[SIDES.len() - 1]);
        Self { width: round(self.width), height: round(self.height), ..self }
    }

    /// Names it among a picture's sizes.
    pub(super) fn name(self) -> String {
        let method = match self.method {
            Method::Crop => "crop",
            Method::Scale => "scale",
        };
        format!("{}x{}-{method}", self.width, self.height)
    }

    /// What is made of a picture of this size, so that nothing is made larger.
    fn within(self, width: u32, height: u32) -> (u32, u32) {
        let ratio = |is: u32, wanted: u32| f64::from(is) / f64::from(wanted.max(1));
        let (across, down) = (ratio(width, self.width), ratio(height, self.height));
        let times = |side: u32, factor: f64| (f64::from(side) * factor).round().max(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a picture's side")]
        let side = |side: u32, factor: f64| times(side, factor) as u32;
        match self.method {
            Method::Crop => {
                let factor = across.min(down).min(1.0);
                (side(self.width, factor), side(self.height, factor))
            }
            Method::Scale => {
                let factor = (1.0 / across.max(down)).min(1.0);
                (side(width, factor), side(height, factor))
            }
        }
    }
}

/// The content type of what [`shrink`] made, by its first bytes.
pub(super) fn content_type(first: &[u8]) -> &'static str {
    if first.starts_with(b"\x89PNG") { "image/png" } else { "image/jpeg" }
}

/// What a picture's head says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub content_type: &'static str,
    /// As it is shown.
    pub width: u32,
    pub height: u32,
}

/// Looks at a picture's head; one that [`shrink`] would not take fails. Blocks.
pub(super) fn look(path: &Path) -> Result<Look, PictureError> {
    let (mut decoder, format) = open(path)?;
    let (width, height) = decoder.dimensions();
    let sideways = matches!(
        decoder.orientation().map_err(failure)?,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    );
    let (width, height) = if sideways { (height, width) } else { (width, height) };
    Ok(Look { content_type: format.to_mime_type(), width, height })
}

/// Opens a picture that is not too large; none of it is decoded yet.
fn open(path: &Path) -> Result<(impl ImageDecoder, ImageFormat), PictureError> {
    if std::fs::metadata(path)?.len() > MAX_FILE {
        return Err(PictureError::TooLarge);
    }
    let mut reader = ImageReader::open(path)?.with_guessed_format()?;
    let format = reader.format().ok_or(PictureError::Unreadable)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_MEMORY);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(failure)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureError::TooLarge);
    }
    Ok((decoder, format))
}

/// Makes a picture smaller. Blocks.
pub(super) fn shrink(path: &Path, wanted: Wanted) -> Result<Picture, PictureError> {
    let (mut decoder, format) = open(path)?;
    let orientation = decoder.orientation().map_err(failure)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(failure)?;
    image.apply_orientation(orientation);
    let (width, height) = wanted.within(image.width(), image.height());
    if (width, height) == (image.width(), image.height()) {
        return Ok(Picture::SmallEnough);
    }
    // Eight bits a channel are enough, and halve the work for those that have sixteen.
    let alpha = image.color().has_alpha();
    let image = if alpha { DynamicImage::from(image.into_rgba8()) } else { DynamicImage::from(image.into_rgb8()) };
    let small = match wanted.method {
        Method::Crop => image.resize_to_fill(width, height, FilterType::Triangle),
        Method::Scale => image.resize_exact(width, height, FilterType::Triangle),
    };
    let mut bytes = Vec::new();
    if format == ImageFormat::Png || alpha {
        small.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).map_err(failure)?;
    } else {
        small.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)).map_err(failure)?;
    }
    Ok(Picture::Made(bytes))
}

fn failure(error: ImageError) -> PictureError {
    match error {
        ImageError::Limits(_) => PictureError::TooLarge,
        ImageError::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => error.into(),
        _ => PictureError::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(width: u32, height: u32, method: Method) -> Wanted {
        Wanted { width, height, method }.rounded()
    }

    fn with_file<T>(bytes: &[u8], act: impl FnOnce(&Path) -> T) -> T {
        let path = std::env::temp_dir().join(crate::random::name(12));
        std::fs::write(&path, bytes).unwrap();
        let result = act(&path);
        std::fs::remove_file(path).unwrap();
        result
    }

    fn shrunk(bytes: &[u8], wanted: Wanted) -> Result<Picture, PictureError> {
        with_file(bytes, |path| shrink(path, wanted))
    }

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    fn size(picture: &Picture) -> (u32, u32, &'static str) {
        let Picture::Made(bytes) = picture else { panic!("not made smaller") };
        let image = image::load_from_memory(bytes).unwrap();
        (image.width(), image.height(), content_type(bytes))
    }

    #[test]
    fn every_kind_of_picture_is_made_smaller() {
        let opaque = DynamicImage::new_rgb8(640, 320);
        for (format, kind) in
            [(ImageFormat::Png, "image/png"), (ImageFormat::Jpeg, "image/jpeg"), (ImageFormat::WebP, "image/jpeg")]
        {
            let bytes = encoded(&opaque, format);
            let crop = shrunk(&bytes, wanted(90, 90, Method::Crop)).unwrap();
            assert_eq!(size(&crop), (96, 96, kind), "{format:?}");
            let scale = shrunk(&bytes, wanted(300, 200, Method::Scale)).unwrap();
            assert_eq!(size(&scale), (320, 160, kind), "{format:?}");
        }
        let gif = encoded(&DynamicImage::new_rgba8(200, 200), ImageFormat::Gif);
        assert_eq!(size(&shrunk(&gif, wanted(32, 32, Method::Scale)).unwrap()), (32, 32, "image/png"));
    }

    #[test]
    fn a_look_tells_kind_and_size() {
        let image = DynamicImage::new_rgb8(30, 20);
        for (format, content_type) in [
            (ImageFormat::Png, "image/png"),
            (ImageFormat::Jpeg, "image/jpeg"),
            (ImageFormat::WebP, "image/webp"),
            (ImageFormat::Gif, "image/gif"),
        ] {
            let seen = with_file(&encoded(&image, format), look).unwrap();
            assert_eq!(seen, Look { content_type, width: 30, height: 20 });
        }
        assert!(with_file(b"<svg/>", look).is_err());
    }

    #[test]
    fn nothing_is_made_larger() {
        let bytes = encoded(&DynamicImage::new_rgb8(40, 400), ImageFormat::Png);
        assert!(matches!(shrunk(&bytes, wanted(40, 400, Method::Scale)), Ok(Picture::SmallEnough)));
        assert_eq!(size(&shrunk(&bytes, wanted(96, 96, Method::Crop)).unwrap()), (40, 40, "image/png"));
        assert_eq!(size(&shrunk(&bytes, wanted(96, 96, Method::Scale)).unwrap()), (10, 96, "image/png"));
    }

    #[test]
    fn hostile_pictures_fail() {
        let small = wanted(32, 32, Method::Crop);
        // A few bytes that claim 60,000 by 60,000 pixels.
        let mut bomb = encoded(&DynamicImage::new_luma8(100, 100), ImageFormat::Png);
        bomb[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
        assert!(shrunk(&bomb, small).is_err());
        let real = encoded(&DynamicImage::new_luma8(8_000, 8_000), ImageFormat::Png);
        assert!(matches!(shrunk(&real, small), Err(PictureError::TooLarge)));
        let cut = &encoded(&DynamicImage::new_rgb8(500, 500), ImageFormat::Png)[..600];
        assert!(matches!(shrunk(cut, small), Err(PictureError::Unreadable)));
        for nonsense in [&b""[..], b"GIF89a", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"<svg/>"] {
            assert!(matches!(shrunk(nonsense, small), Err(PictureError::Unreadable)), "{nonsense:?}");
        }
    }
}
