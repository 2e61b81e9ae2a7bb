"""Which explainer refuses which of the small networks, and in which words.

A method that is not named here explains them all: a change of behaviour breaks this table.
"""

RULED = ("deconvnet", "guided-backprop", "guided-grad-cam")
DIFFERENTIATED = ("gradient", "input-x-gradient", "integrated-gradients", "smooth-grad", *RULED)
LAYERED = ("eigen-cam", "score-cam")
CAMS = (
    "ablation-cam",
    "abs-cam",
    "cam",
    "fd-cam",
    "grad-cam",
    "grad-cam++",
    "hires-cam",
    "layer-cam",
    "recipro-cam",
    "shap-cam",
    "xgrad-cam",
)
WRAPPERS = ("flip-average", "sess", "smooth-map")  # around grad-cam by default

REFUSED = {
    **{(name, "black-box"): "needs gradients" for name in DIFFERENTIATED},
    **{(name, "black-box"): "needs layer" for name in LAYERED},
    **{(name, "black-box"): "needs gradients and layer" for name in CAMS},
    **{(name, "black-box"): "grad-cam needs gradients and layer" for name in WRAPPERS},
    **{(name, kind): "has no ReLU" for name in RULED for kind in ("channels-last", "token-net")},
    ("attribute-words", "black-box"): "reads layers",
    ("cam", "token-net"): "is not average pooling plus one linear layer",
    ("hires-cam", "token-net"): "only rounding errors",
    ("igos", "black-box"): "needs gradients",
    ("igos++", "black-box"): "needs gradients",
    ("iterative-saliency", "black-box"): "needs gradients",
    ("meaningful-perturbation", "black-box"): "needs gradients",
    ("realtime-saliency", "black-box"): "reads layers",
    ("rollout", "black-box"): "needs attention",
    ("rollout", "channels-last"): "attends inside windows",
    ("rollout", "pooled-cnn"): "reads attention, and PooledCNN has none",
    ("sag", "black-box"): "igos needs gradients",
    ("xnn", "black-box"): "needs gradients",
}
