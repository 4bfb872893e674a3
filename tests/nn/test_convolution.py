"""Convolution and pooling against loops over every pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_mb as tg
from tinygrad_mb import nn
from tinygrad_mb.errors import ShapeError

random = np.random.default_rng(2)


def padded(x, padding, value):
    return np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2), constant_values=value)


def naive_conv2d(x, W, stride, padding):
    x = padded(x, padding, 0)
    kh, kw = W.shape[2:]
    oh, ow = (x.shape[2] - kh) // stride[0] + 1, (x.shape[3] - kw) // stride[1] + 1
    out = np.zeros((len(x), len(W), oh, ow))
    for n, o, i, j in np.ndindex(out.shape):
        window = x[n, :, i * stride[0] : i * stride[0] + kh, j * stride[1] : j * stride[1] + kw]
        out[n, o, i, j] = np.sum(window * W[o])
    return out


def naive_conv2d_gradients(x, W, stride, padding, g):
    """By the product rule, one multiplication of the forward pass at a time."""
    wide, (kh, kw) = padded(x, padding, 0), W.shape[2:]
    gx, gW = np.zeros_like(wide), np.zeros_like(W)
    for n, o, i, j in np.ndindex(g.shape):
        window = np.s_[n, :, i * stride[0] : i * stride[0] + kh, j * stride[1] : j * stride[1] + kw]
        gx[window] += g[n, o, i, j] * W[o]
        gW[o] += g[n, o, i, j] * wide[window]
    (h, w), (ph, pw) = x.shape[2:], padding
    return gx[:, :, ph : ph + h, pw : pw + w], gW


def naive_max_pool2d(x, size, stride, padding, g=None):
    """The result, or with ``g`` the gradient."""
    wide = padded(x, padding, -np.inf)
    oh, ow = (wide.shape[2] - size[0]) // stride[0] + 1, (wide.shape[3] - size[1]) // stride[1] + 1
    out, gx = np.zeros((*x.shape[:2], oh, ow)), np.zeros_like(wide)
    for n, c, i, j in np.ndindex(out.shape):
        window = np.s_[n, c, i * stride[0] : i * stride[0] + size[0], j * stride[1] : j * stride[1] + size[1]]
        out[n, c, i, j] = wide[window].max()
        if g is not None:
            best = wide[window] == wide[window].max()
            gx[window] += g[n, c, i, j] * best / best.sum()
    (h, w), (ph, pw) = x.shape[2:], padding
    return out if g is None else gx[:, :, ph : ph + h, pw : pw + w]


pairs, images = (st.tuples(st.integers(1, n), st.integers(1, n)) for n in (3, 6))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 2), c=st.integers(1, 3), o=st.integers(1, 5), image=images, kernel=pairs, stride=pairs,
       padding=st.tuples(st.integers(0, 3), st.integers(0, 3)))  # fmt: skip
def test_conv2d_is_the_loop(n, c, o, image, kernel, stride, padding):
    kernel = tuple(min(k, s + 2 * p) for k, s, p in zip(kernel, image, padding, strict=True))
    x = tg.Tensor(random.normal(size=(n, c, *image)), requires_grad=True)
    W = tg.Tensor(random.normal(size=(o, c, *kernel)), requires_grad=True)
    b = tg.Tensor(random.normal(size=o), requires_grad=True)
    out = nn.conv2d(x, W, b, stride, padding)
    expected = naive_conv2d(x.data, W.data, stride, padding) + b.data[:, None, None]
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-12)
    g = random.normal(size=out.shape)
    gx, gW, gb = out.gradient(x, W, b, gradient=g)
    for actual, right in zip((gx, gW), naive_conv2d_gradients(x.data, W.data, stride, padding, g), strict=True):
        np.testing.assert_allclose(actual, right, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gb, g.sum(axis=(0, 2, 3)), rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(image=images, size=pairs, stride=pairs, ties=st.booleans(),
       share=st.tuples(st.booleans(), st.booleans()))  # fmt: skip
def test_max_pool2d_is_the_loop(image, size, stride, ties, share):
    padding = tuple(s // 2 * use for s, use in zip(size, share, strict=True))
    size = tuple(min(k, s + 2 * p) for k, s, p in zip(size, image, padding, strict=True))
    padding = tuple(min(p, s // 2) for p, s in zip(padding, size, strict=True))
    x = random.integers(-2, 2, (2, 2, *image)).astype(float) if ties else random.normal(size=(2, 2, *image))
    t = tg.Tensor(x, requires_grad=True)
    out = nn.max_pool2d(t, size, stride, padding)
    np.testing.assert_array_equal(out.numpy(), naive_max_pool2d(x, size, stride, padding))
    g = random.normal(size=out.shape)
    np.testing.assert_allclose(
        out.gradient(t, gradient=g), naive_max_pool2d(x, size, stride, padding, g), rtol=1e-12, atol=1e-12
    )


def test_a_small_net_of_images_is_differentiated_twice():
    x, v = random.normal(size=(2, 1, 6, 6)), random.normal(size=(3, 1, 3, 3))
    W = tg.Tensor(random.normal(size=(3, 1, 3, 3)), requires_grad=True)

    def slope(W):
        h = np.tanh(nn.conv2d(x, W, padding=1))
        loss = np.square(nn.max_pool2d(h, 2)).sum()
        return (loss.gradient(W, create_graph=True) * v).sum()

    second = slope(W).gradient(W)
    for index in (0, 0, 0, 0), (2, 0, 1, 2):
        step = np.zeros(W.shape)
        step[index] = 1e-5
        up, down = (slope(tg.Tensor(W.data + s, requires_grad=True)).item() for s in (step, -step))
        np.testing.assert_allclose(second[index], (up - down) / 2e-5, rtol=1e-6)


def test_narrow_images_have_narrow_gradients():
    x = tg.Tensor(random.normal(size=(2, 3, 5, 5)), requires_grad=True, dtype=np.float32)
    W = tg.Tensor(random.normal(size=(4, 3, 3, 3)), requires_grad=True, dtype=np.float32)
    b = tg.Tensor(np.zeros(4), requires_grad=True, dtype=np.float32)
    out = nn.max_pool2d(nn.conv2d(x, W, b, padding=1), 3, 2, 1)
    assert out.dtype == np.float32
    for tensor, gradient in zip((x, W, b), out.sum().gradient(x, W, b), strict=True):
        assert (gradient.shape, gradient.dtype) == (tensor.shape, np.float32)


def test_plain_arrays_and_an_empty_batch():
    x, W = np.ones((0, 2, 4, 4)), random.normal(size=(3, 2, 3, 3))
    assert type(nn.conv2d(x, W)) is np.ndarray
    t = tg.Tensor(W, requires_grad=True)
    out = nn.max_pool2d(nn.conv2d(x, t), 2)
    assert out.shape == (0, 3, 1, 1)
    np.testing.assert_array_equal(out.sum().gradient(t), np.zeros(W.shape))


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda x, W: nn.conv2d(x[0], W), ShapeError, r"conv2d: x must have 4 axes \(n, c, h, w\), and is x \(3, 5, 4\)"),
    (lambda x, W: nn.conv2d(x, W[0]), ShapeError, r"W must have 4 axes \(o, c, kh, kw\)"),
    (lambda x, W: nn.conv2d(x[:, :2], W), ShapeError, r"has 2 channels .* W \(6, 3, 3, 3\) float64 want 3"),
    (lambda x, W: nn.conv2d(x[..., :2], W), ShapeError, r"\(3, 3\) do not fit .* padded to \(5, 2\)"),
    (lambda x, W: nn.conv2d(x, W, np.zeros(3)), ShapeError, r"bias b \(3,\) float64 must have shape \(6,\)"),
    (lambda x, W: nn.conv2d(x, W, stride=0), ValueError, r"stride must be 1 or more, not 0"),
    (lambda x, W: nn.conv2d(x, W, padding=(0, -1)), ValueError, r"padding must be 0 or more"),
    (lambda x, W: nn.conv2d(x, W, stride=1.5), TypeError, r"stride must be an integer or a pair of integers, not 1.5"),
    (lambda x, W: nn.conv2d(x, W, stride=(1, 1, 1)), TypeError, r"pair of integers"),
    (lambda x, W: nn.max_pool2d(x[0], 2), ShapeError, r"max_pool2d: x must have 4 axes"),
    (lambda x, W: nn.max_pool2d(x, 6), ShapeError, r"\(6, 6\) do not fit"),
    (lambda x, W: nn.max_pool2d(x, 2, padding=2), ValueError, r"padding=\(2, 2\) is more than half of size=\(2, 2\)"),
])  # fmt: skip
def test_operands_that_do_not_fit_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((2, 3, 5, 4)), tg.Tensor(np.ones((6, 3, 3, 3)), requires_grad=True, name="W"))
