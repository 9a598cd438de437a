"""The explaining methods by their names in recipes.

All are called alike: `method(classifier, images, selection, **options) -> Maps`. `smooth` and `tta`
make other such methods of them.
"""

from __future__ import annotations

from collections.abc import Callable

from wsss.attribution.lrp.lrp import lrp
from wsss.attribution.maps import Maps
from wsss.attribution.methods.cam import cam
from wsss.attribution.methods.d_minmax_cam import d_minmax_cam
from wsss.attribution.methods.d_minmax_grad_cam import d_minmax_grad_cam
from wsss.attribution.methods.full_grad import full_grad
from wsss.attribution.methods.grad_cam import grad_cam
from wsss.attribution.methods.grad_cam_plus_plus import grad_cam_plus_plus
from wsss.attribution.methods.gradients import gradients
from wsss.attribution.methods.minmax_cam import minmax_cam
from wsss.attribution.methods.minmax_grad_cam import minmax_grad_cam
from wsss.attribution.methods.score_cam import score_cam

METHODS: dict[str, Callable[..., Maps]] = {
    "gradients": gradients,
    "full-grad": full_grad,
    "cam": cam,
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "score-cam": score_cam,
    "minmax-cam": minmax_cam,
    "d-minmax-cam": d_minmax_cam,
    "minmax-grad-cam": minmax_grad_cam,
    "d-minmax-grad-cam": d_minmax_grad_cam,
    "lrp": lrp,
}
