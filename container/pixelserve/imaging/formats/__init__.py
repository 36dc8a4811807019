"""The formats that are read: a module for each reads its structure and decodes its samples.

| module | structure | pixels |
|---|---|---|
| jpeg | here | simplejpeg, strict |
| png | here | OpenCV; palette and transparency here |
| bmp | here | here; run lengths by OpenCV |
| webp | here | Pillow |
| tiff | here | zlib, simplejpeg, libtiff through Pillow; samples and colours here |

Each `read(data)` gives a `Source`, or raises UnsupportedMediaType naming the kind of file, or InvalidImage.
"""
