#!/usr/bin/env python3
"""The other side of deep.rs: the same network, weights and windows in PyTorch and ONNX Runtime.

    deep.py NETWORK.json THREADS AT_LEAST_MS     reads names of jobs, answers each with milliseconds

NETWORK.json: {"shape": …, "tensors": {name: numbers}, "input": [batch, window, inputs], "rebuilt": what Portent makes of it}.
Both libraries must rebuild the same to 1e-4 before anything is timed. Channels lie before time, as both want them.
One thread: milliseconds of CPU. Several: of the clock. What a caller would have is what a job starts and ends with: a NumPy array.
"""
import json
import os
import sys
import time

threads = int(sys.argv[2])
os.environ['OMP_NUM_THREADS'] = str(threads)

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

BATCH, EPOCH = 64, 4096


class Network:
    """A network's sizes, its weights as PyTorch and ONNX have them, and windows."""

    def __init__(self, path):
        with open(path) as file:
            told = json.load(file)
        shape = told['shape']
        self.window, self.inputs, self.outputs = shape['window'], shape['inputs'], shape['outputs']
        (self.wide, self.narrow), self.latent = shape['widths'], shape['latent']
        self.quarter = self.window // 4
        self.told = {name: np.array(numbers, np.float32) for name, numbers in told['tensors'].items()}
        turned = lambda numbers, channels: np.ascontiguousarray(
            np.array(numbers, np.float32).reshape(-1, self.window, channels).transpose(0, 2, 1))
        self.input, self.rebuilt = turned(told['input'], self.inputs), turned(told['rebuilt'], self.outputs)
        self.weights = {
            'down1': self._convolution('down1', 5, self.inputs, self.wide),
            'down2': self._convolution('down2', 3, self.wide, self.narrow),
            'squeeze': self._linear('squeeze', lambda w: w.reshape(self.quarter, self.narrow, -1).transpose(2, 1, 0), self.latent),
            'expand': self._linear('expand', lambda w: w.reshape(-1, self.quarter, self.narrow).transpose(2, 1, 0), self.quarter * self.narrow),
            'up1': self._transposed('up1', self.narrow, self.wide),
            'up2': self._transposed('up2', self.wide, self.outputs),
        }

    def _convolution(self, name, kernel, inputs, outputs):
        weight = self.told[f'{name}.weight'].reshape(kernel, inputs, outputs)
        return np.ascontiguousarray(weight.transpose(2, 1, 0)), self.told[f'{name}.bias']

    def _linear(self, name, turn, outputs):
        weight, bias = self.told[f'{name}.weight'], self.told[f'{name}.bias']
        if name == 'expand':
            bias = bias.reshape(self.quarter, self.narrow).T.reshape(-1)
        return np.ascontiguousarray(turn(weight).reshape(outputs, -1)), bias

    def _transposed(self, name, inputs, outputs):
        pairs = self.told[f'{name}.weight'].reshape(2, inputs, 2, outputs)  # neighbour, channel, odd or even, channel
        taps = [pairs[1, :, 0], pairs[1, :, 1], pairs[0, :, 0], pairs[0, :, 1]]
        return np.ascontiguousarray(np.stack(taps, -1)), self.told[f'{name}.bias'][:outputs]


class Torch(nn.Module):
    def __init__(self, network):
        super().__init__()
        n = network
        self.down1 = nn.Conv1d(n.inputs, n.wide, 5, stride=2, padding=2)
        self.down2 = nn.Conv1d(n.wide, n.narrow, 3, stride=2, padding=1)
        self.squeeze = nn.Linear(n.quarter * n.narrow, n.latent)
        self.expand = nn.Linear(n.latent, n.quarter * n.narrow)
        self.up1 = nn.ConvTranspose1d(n.narrow, n.wide, 4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose1d(n.wide, n.outputs, 4, stride=2, padding=1)
        self.unflat = (-1, n.narrow, n.quarter)
        for name, (weight, bias) in n.weights.items():
            layer = getattr(self, name)
            layer.weight.data, layer.bias.data = torch.from_numpy(weight.copy()), torch.from_numpy(bias.copy())

    def forward(self, x):
        x = torch.relu(self.down1(x))
        x = torch.relu(self.down2(x))
        x = torch.relu(self.expand(self.squeeze(x.flatten(1))))
        return self.up2(torch.relu(self.up1(x.reshape(self.unflat))))


def onnx_session(network):
    n = network
    weights = [numpy_helper.from_array(array, f'{name}.{kind}')
               for name, pair in n.weights.items() for kind, array in zip(('weight', 'bias'), pair)]
    weights.append(numpy_helper.from_array(np.array([-1, n.narrow, n.quarter], np.int64), 'unflat'))
    nodes, x = [], 'input'

    def add(kind, name='', out=None, more=(), **attributes):
        nonlocal x
        out = out or f'{kind}{len(nodes)}'
        layer = [f'{name}.weight', f'{name}.bias'] if name else []
        nodes.append(helper.make_node(kind, [x, *layer, *more], [out], **attributes))
        x = out

    add('Conv', 'down1', kernel_shape=[5], strides=[2], pads=[2, 2])
    add('Relu')
    add('Conv', 'down2', kernel_shape=[3], strides=[2], pads=[1, 1])
    add('Relu')
    add('Flatten')
    add('Gemm', 'squeeze', transB=1)
    add('Gemm', 'expand', transB=1)
    add('Relu')
    add('Reshape', more=['unflat'])
    add('ConvTranspose', 'up1', kernel_shape=[4], strides=[2], pads=[1, 1])
    add('Relu')
    add('ConvTranspose', 'up2', out='rebuilt', kernel_shape=[4], strides=[2], pads=[1, 1])
    value = lambda name, channels: helper.make_tensor_value_info(name, TensorProto.FLOAT, ['batch', channels, n.window])
    graph = helper.make_graph(nodes, 'net', [value('input', n.inputs)], [value('rebuilt', n.outputs)], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])


class Jobs:
    def __init__(self, network):
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        self.net, self.session = Torch(network), onnx_session(network)
        self.scorer = Torch(network).eval()
        self.windows = np.resize(network.input, (EPOCH, *network.input.shape[1:]))
        self.data, self.targets = torch.from_numpy(self.windows), torch.from_numpy(np.resize(network.rebuilt, (EPOCH, *network.rebuilt.shape[1:])))
        self.adam = torch.optim.Adam(self.net.parameters(), 1e-3)
        for kind in ('torch', 'ort'):
            apart = np.abs(getattr(self, kind)(network.input) - network.rebuilt).max()
            print(f'{kind}: {apart:.1e} from Portent', file=sys.stderr)
            assert apart < 1e-4, f'{kind} is another network'

    def train(self):
        order = torch.randperm(EPOCH)
        for chunk in order.split(BATCH):
            self.adam.zero_grad()
            loss = nn.functional.mse_loss(self.net(self.data[chunk]), self.targets[chunk])
            loss.backward()
            self.adam.step()
            loss.item()

    def torch(self, windows):
        with torch.inference_mode():
            return self.scorer(torch.from_numpy(windows)).numpy()

    def ort(self, windows):
        return self.session.run(None, {'input': windows})[0]

    def job(self, name):
        if name == 'train':
            return self.train
        kind, count = name.split()
        windows = np.ascontiguousarray(self.windows[:int(count)])
        return lambda: getattr(self, kind)(windows)


def main():
    clock, at_least_s = time.process_time if threads == 1 else time.perf_counter, float(sys.argv[3]) / 1000
    jobs = Jobs(Network(sys.argv[1]))
    for line in sys.stdin:
        job = jobs.job(line.strip())
        job()
        started, n, more = clock(), 0, 1
        while n == 0 or clock() - started < at_least_s:
            for _ in range(more):
                job()
            n += more
            more = n
        print(1000 * (clock() - started) / n, flush=True)


if __name__ == '__main__':
    main()
