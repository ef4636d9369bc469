use nonlin::*;
fn ulp64(got:f64, hi:f64, lo:f64)->f64{ 
  if hi.is_nan(){return if got.is_nan(){0.}else{1e30}}
  if got.is_infinite()||hi.is_infinite(){ return if got==hi {0.} else if hi.abs()>=1.797693134862315e308 && got.is_infinite() {0.5} else {1e30}}
  let a=hi.abs(); let e=((a.to_bits()>>52) as i32).max(1)-1023-52; let sp=2f64.powi(e.max(-1074).max(-1022)); let sp = if e < -1022 { f64::from_bits(1u64 << (e+1074)) } else {sp};
  if got.is_nan(){return 1e30}
  ((got-hi)-lo).abs()/sp }
fn ulp32(got:f32, hi:f64)->f64{
  if hi.is_nan(){return if got.is_nan(){0.}else{1e30}}
  if got.is_nan(){return 1e30}
  let lim=3.4028235677973366e38;
  if hi.abs()>=lim {return if got.is_infinite()&&(got>0.)==(hi>0.){0.}else if !got.is_infinite()&&hi.is_finite(){ (got as f64-hi).abs()/2f64.powi(104)} else {1e30}}
  if got.is_infinite(){return 1e30}
  let e=if hi==0.{-149}else{(((hi.abs().to_bits()>>52) as i32)-1023-23).max(-149)};
  (got as f64-hi).abs()/2f64.powi(e) }
fn main(){
  let n_per = 400u64;
  let filter: Option<String> = std::env::args().nth(1);
  for f in functions(){
    if let Some(s)=&filter { if f.name()!=s {continue} }
    for lvl in [Level::Baseline, Level::Avx2, Level::Avx512] {
      let ex=Exec::new().level(lvl).unwrap();
      let mut rep=String::new();
      // f32
      { let mut xs=vec![]; let mut s=1u64; for e in 0..=255u32 { for sg in 0..2u32 { for _ in 0..n_per { s=s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); xs.push(f32::from_bits(sg<<31|e<<23|((s>>33) as u32&0x7fffff))); }}}
        for e in -20..8 { for i in 0..2000 { let v=2f32.powi(e)*(1.0+i as f32/2000.); xs.push(v); xs.push(-v);} }
        xs.extend([0.0,-0.0,f32::INFINITY,f32::NEG_INFINITY,f32::NAN,f32::MAX,f32::MIN,f32::MIN_POSITIVE,1e-45,-1e-45]);
        let mut y=vec![0.0;xs.len()]; let mut d=y.clone(); ex.forward(f,&xs,&mut y); ex.derivative(f,&xs,&mut d);
        let z=f.claims().slope_zeros; let mut w=(0.,0.,0.);let mut wd=(0.,0.,0.);
        for i in 0..xs.len(){ let (v,sl)=f.reference(xs[i]); let u=ulp32(y[i],v.hi); if u>w.0 {w=(u,xs[i],y[i])}
          let ud=ulp32(d[i],sl.hi); if z.iter().any(|z|(xs[i] as f64-z).abs()<=0.5)&&(d[i] as f64-sl.hi).abs()<=2f64.powi(-24){continue}
          if ud>wd.0{wd=(ud,xs[i],d[i])}}
        rep+=&format!("f32 {:.4} @{:e}({:e}) d {:.4} @{:e}({:e}) | ",w.0,w.1,w.2,wd.0,wd.1,wd.2);
      }
      { let mut xs=vec![]; let mut s=1u64; for e in 0..=2047u64 { for sg in 0..2u64 { for _ in 0..(n_per/40) { s=s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); xs.push(f64::from_bits(sg<<63|e<<52|(s>>12))); }}}
        for e in -10..11 { for i in 0..2000 { s=s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); let v=2f64.powi(e)*(1.0+(i as f64 + (s>>11) as f64/2f64.powi(53))/2000.); xs.push(v); xs.push(-v);} }
        xs.extend([0.0,-0.0,f64::INFINITY,f64::NEG_INFINITY,f64::NAN,f64::MAX,f64::MIN,f64::MIN_POSITIVE,5e-324,-5e-324]);
        let mut y=vec![0.0;xs.len()]; let mut d=y.clone(); ex.forward(f,&xs,&mut y); ex.derivative(f,&xs,&mut d);
        let z=f.claims().slope_zeros; let mut w=(0.,0.,0.);let mut wd=(0.,0.,0.);
        for i in 0..xs.len(){ let (v,sl)=f.reference(xs[i]); let u=ulp64(y[i],v.hi,v.lo); if u>w.0 {w=(u,xs[i],y[i])}
          let ud=ulp64(d[i],sl.hi,sl.lo); if z.iter().any(|z|(xs[i] as f64-z).abs()<=0.5)&&(d[i] as f64-sl.hi).abs()<=2f64.powi(-53){continue}
          if ud>wd.0{wd=(ud,xs[i],d[i])}}
        rep+=&format!("f64 {:.4} @{:e}({:e}) d {:.4} @{:e}({:e})",w.0,w.1,w.2,wd.0,wd.1,wd.2);
      }
      println!("{:14}{:9}{}",f.name(),lvl.name(),rep);
    }
  }
}
