import sys, time
from pathlib import Path
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
import torch
from reference import arguments, four_direction_scan
import geofcs_kernels as gk
torch.backends.cuda.matmul.allow_tf32 = False
def rel(a, b):
    return ((a.double() - b).norm() / b.norm().clamp_min(1e-30)).item()
print(gk.available("cuda"))
shapes = [(1,1,1,1,1),(2,33,1,40,3),(1,40,37,1,2),(2,5,7,5,4),(1,64,16,16,64),(2,48,33,17,6),(2,32,32,32,32),(1,96,26,26,12),(1,32,64,64,16),(1,64,70,90,8),(1,32,20,20,100)]
bad = 0
for dtype, tol in ((torch.float32, 2e-5), (torch.bfloat16, 1.5e-2), (torch.float16, 2e-3)):
    for i, s in enumerate(shapes):
        for first in (False, True):
            a = arguments(*s, dtype, "cuda", seed=i)
            if first: a[0] = a[0].contiguous(); a[1] = a[1].contiguous()
            wide = [t.double().requires_grad_() for t in a]
            ref = four_direction_scan(*wide)
            g = torch.randn(ref.shape, device="cuda").to(dtype)
            grads = torch.autograd.grad(ref, wide, g.double())
            out = gk.forward(*a)
            got = gk.backward(g, *a)
            e = [rel(out, ref)] + [rel(x, y) for x, y in zip(got, grads)]
            if s[2]*s[3] == 1: e[5] = got[4].abs().max().item()
            flag = "" if all(v < tol for v in e) else "  <-- BAD"
            bad += bool(flag)
            if flag or i in (6, 9): print(str(dtype)[6:], s, "chw" if first else "hwc", " ".join(f"{v:.1e}" for v in e), flag, flush=True)
print("bad:", bad)
