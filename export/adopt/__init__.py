"""Detectors that others trained and exported, wrapped into the graph contract by surgery on their ONNX file.

families.py     what YOLOv5, YOLOv8, YOLOX, RT-DETR and their kin write, as facts
foreign.py      the file as it was given: read, refused or made fit (fixed sides, one picture input)
recognise.py    which tensors of the graph hold boxes and scores of every area, and which family they fit
reference.py    the same outputs decoded in numpy, independent of the surgery; evidence that areas lie where said
surgery.py      the wrapped graph: bytes of a picture in, candidates with area numbers out
adopt.py        all of it in order, to a package
"""
