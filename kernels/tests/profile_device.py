import sys
sys.path[:0] = ['kernels']
import torch, bench
from torch.profiler import profile, ProfilerActivity
for shape, rank, _ in bench.STAGES:
    i = bench._inputs(shape, rank, torch.bfloat16)
    call = bench._both(bench.Scan.apply, i)
    call(); torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as p:
        for _ in range(3): call()
        torch.cuda.synchronize()
    print(shape)
    rows = sorted(p.key_averages(), key=lambda e: -e.self_device_time_total)
    for e in rows[:16]: print(f"   {e.self_device_time_total/3:8.1f} us x{e.count//3}  {e.key[:110]}")
