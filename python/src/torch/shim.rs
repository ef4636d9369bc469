//! PyTorch's stable C interface, found in the library that `import torch` has loaded.
//!
//! Nothing of PyTorch is needed to build this crate. Declarations follow
//! `torch/csrc/inductor/aoti_torch/c/shim.h` and `torch/csrc/stable/c/shim.h`, which PyTorch keeps
//! compatible; every function used here exists since 2.10 unless it is an `Option`.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock};

/// What makes an operator stop before it has a result.
#[derive(Debug)]
pub enum Stop {
    /// The call is for PyTorch's own kernel; nothing has been written.
    Decline,
    /// An error, in one line.
    Fail(String),
}

/// A result, or why there is none.
pub type Res<T> = Result<T, Stop>;

/// `Err(Stop::Fail)` with this text.
pub fn fail<T>(text: impl Into<String>) -> Res<T> {
    Err(Stop::Fail(text.into()))
}

/// `AtenTensorHandle`: a reference to a tensor that somebody owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Handle(pub *mut c_void);

// SAFETY: PyTorch counts references to tensors atomically and lets any thread use and delete them.
unsafe impl Send for Handle {}
// SAFETY: through a shared handle sizes, strides and pointers are read, which PyTorch allows to
// several threads at once.
unsafe impl Sync for Handle {}

/// `TorchLibraryHandle`.
pub type LibraryHandle = *mut c_void;

/// What `torch_library_impl` registers: arguments are taken from the array, results put there.
pub type Boxed = unsafe extern "C-unwind" fn(*mut u64, u64, u64);

/// 0 if it went well.
type Code = i32;

macro_rules! shim {
    (always {$($name:ident: fn($($arg:ty),*) $(-> $out:ty)?;)*} late {$($late:ident: fn($($late_arg:ty),*) $(-> $late_out:ty)?;)*}) => {
        struct Functions {
            $($name: unsafe extern "C" fn($($arg),*) $(-> $out)?,)*
            $($late: Option<unsafe extern "C" fn($($late_arg),*) $(-> $late_out)?>,)*
            /// Throws a C++ exception unless the condition holds.
            aoti_torch_check: unsafe extern "C-unwind" fn(bool, *const c_char, *const c_char, u32, *const c_char),
        }

        impl Functions {
            fn find(library: &Library) -> Result<Self, String> {
                let needed = |name: &CStr| {
                    library.symbol(name).ok_or_else(|| {
                        format!("this PyTorch has no {}; nonlin.torch needs PyTorch 2.10 or newer", name.to_string_lossy())
                    })
                };
                // SAFETY: PyTorch declares the functions of these names with these types.
                unsafe {
                    Ok(Functions {
                        $($name: std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($arg),*) $(-> $out)?>(
                            needed(cstr(concat!(stringify!($name), "\0")))?),)*
                        $($late: library.symbol(cstr(concat!(stringify!($late), "\0"))).map(|p| std::mem::transmute::<
                            *mut c_void, unsafe extern "C" fn($($late_arg),*) $(-> $late_out)?>(p)),)*
                        aoti_torch_check: std::mem::transmute::<
                            *mut c_void,
                            unsafe extern "C-unwind" fn(bool, *const c_char, *const c_char, u32, *const c_char),
                        >(needed(c"aoti_torch_check")?),
                    })
                }
            }
        }
    };
}

fn cstr(with_nul: &'static str) -> &'static CStr {
    CStr::from_bytes_with_nul(with_nul.as_bytes()).expect("a name with one nul at its end")
}

shim! {
    always {
    aoti_torch_get_dtype: fn(Handle, *mut i32) -> Code;
    aoti_torch_get_dim: fn(Handle, *mut i64) -> Code;
    aoti_torch_get_numel: fn(Handle, *mut i64) -> Code;
    aoti_torch_get_device_type: fn(Handle, *mut i32) -> Code;
    aoti_torch_get_sizes: fn(Handle, *mut *const i64) -> Code;
    aoti_torch_get_strides: fn(Handle, *mut *const i64) -> Code;
    torch_get_const_data_ptr: fn(Handle, *mut *const c_void) -> Code;
    torch_get_mutable_data_ptr: fn(Handle, *mut *mut c_void) -> Code;
    aoti_torch_empty_strided: fn(i64, *const i64, *const i64, i32, i32, i32, *mut Handle) -> Code;
    aoti_torch_new_tensor_handle: fn(Handle, *mut Handle) -> Code;
    aoti_torch_delete_tensor_object: fn(Handle) -> Code;
    aoti_torch_device_type_cpu: fn() -> i32;
    aoti_torch_dtype_float32: fn() -> i32;
    aoti_torch_dtype_float64: fn() -> i32;
    aoti_torch_dtype_float16: fn() -> i32;
    aoti_torch_dtype_bfloat16: fn() -> i32;
    aoti_torch_library_init_impl: fn(*const c_char, *const c_char, *const c_char, u32, *mut LibraryHandle) -> Code;
    aoti_torch_delete_library_object: fn(LibraryHandle) -> Code;
    torch_library_impl: fn(LibraryHandle, *const c_char, Boxed, u64) -> Code;
    torch_call_dispatcher: fn(*const c_char, *const c_char, *mut u64, u64) -> Code;
    aoti_torch_grad_mode_is_enabled: fn() -> bool;
    torch_parallel_for: fn(i64, i64, i64, unsafe extern "C" fn(i64, i64, *mut c_void), *mut c_void) -> Code;
    torch_string_c_str: fn(*mut c_void, *mut *const c_char) -> Code;
    torch_delete_string: fn(*mut c_void) -> Code;
    }
    late {
    torch_exception_get_what_without_backtrace: fn() -> *const c_char;
    torch_tensor_from_pyobject: fn(*mut c_void, *mut Handle) -> Code;
    torch_tensor_to_pyobject: fn(Handle, *mut c_void, *mut *mut c_void) -> Code;
    torch_new_string_handle: fn(*const c_char, usize, *mut *mut c_void) -> Code;
    }
}

/// A loaded library.
struct Library(*mut c_void);

#[cfg(unix)]
mod loader {
    use std::ffi::{c_char, c_int, c_void};
    unsafe extern "C" {
        pub fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
        pub fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    /// Resolve when called; only if it is loaded already.
    pub const LAZY_LOADED: c_int = if cfg!(target_vendor = "apple") { 0x11 } else { 0x5 };
}

impl Library {
    #[cfg(unix)]
    fn loaded(path: &str) -> Result<Self, String> {
        let name = CString::new(path).map_err(|e| e.to_string())?;
        // SAFETY: a path that ends with nul; the library is loaded, so no initialiser runs.
        let handle = unsafe { loader::dlopen(name.as_ptr(), loader::LAZY_LOADED) };
        if handle.is_null() {
            return Err(format!("{path} is not loaded; import torch first"));
        }
        Ok(Library(handle))
    }

    #[cfg(not(unix))]
    fn loaded(_: &str) -> Result<Self, String> {
        Err("nonlin.torch runs on Linux and macOS, not on this system".to_owned())
    }

    #[cfg(unix)]
    fn symbol(&self, name: &CStr) -> Option<*mut c_void> {
        // SAFETY: the handle comes from `dlopen` and is never closed; the name ends with nul.
        let symbol = unsafe { loader::dlsym(self.0, name.as_ptr()) };
        (!symbol.is_null()).then_some(symbol)
    }

    #[cfg(not(unix))]
    fn symbol(&self, _: &CStr) -> Option<*mut c_void> {
        None
    }
}

/// PyTorch.
pub struct Torch {
    functions: Functions,
    cpu: i32,
    /// The numbers by which PyTorch knows f32, f64, f16 and bf16.
    dtypes: [(i32, Dtype); 4],
}

/// The types of elements that there are kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// `torch.float32`
    F32,
    /// `torch.float64`
    F64,
    /// `torch.float16`
    F16,
    /// `torch.bfloat16`
    Bf16,
}

static TORCH: OnceLock<Result<Torch, String>> = OnceLock::new();

/// Finds PyTorch's functions in the library at `path`, which must be loaded.
pub fn open(path: &str) -> Result<&'static Torch, String> {
    let opened = TORCH.get_or_init(|| {
        let functions = Functions::find(&Library::loaded(path)?)?;
        // SAFETY: these functions take nothing and return a number.
        let (cpu, dtypes) = unsafe {
            (
                (functions.aoti_torch_device_type_cpu)(),
                [
                    ((functions.aoti_torch_dtype_float32)(), Dtype::F32),
                    ((functions.aoti_torch_dtype_float64)(), Dtype::F64),
                    ((functions.aoti_torch_dtype_float16)(), Dtype::F16),
                    ((functions.aoti_torch_dtype_bfloat16)(), Dtype::Bf16),
                ],
            )
        };
        Ok(Torch { functions, cpu, dtypes })
    });
    opened.as_ref().map_err(Clone::clone)
}

/// PyTorch, which `open` has found before any operator can be called.
pub fn torch() -> Res<&'static Torch> {
    match TORCH.get() {
        Some(Ok(torch)) => Ok(torch),
        Some(Err(text)) => fail(text.clone()),
        None => fail("PyTorch has not been opened"),
    }
}

/// A tensor that is deleted with this value.
#[derive(Debug)]
pub struct Owned(Handle);

impl Owned {
    /// Takes over a reference.
    ///
    /// # Safety
    /// `handle` must be a reference to a tensor that nobody else will delete.
    pub unsafe fn new(handle: Handle) -> Self {
        Owned(handle)
    }

    /// The reference, which remains this value's.
    pub fn handle(&self) -> Handle {
        self.0
    }

    /// The reference, which the caller deletes.
    pub fn release(self) -> Handle {
        let handle = self.0;
        std::mem::forget(self);
        handle
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Ok(torch) = torch() {
            // SAFETY: whoever made this value gave it the only right to delete the reference.
            unsafe { (torch.functions.aoti_torch_delete_tensor_object)(self.0) };
        }
    }
}

/// What is known of a tensor; it borrows from the tensor's own sizes and strides.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Whose it is.
    pub handle: Handle,
    /// Type of elements.
    pub dtype: Dtype,
    /// Lengths.
    pub sizes: &'a [i64],
    /// Distances, in elements.
    pub strides: &'a [i64],
}

impl Torch {
    #[inline(always)]
    fn check(&self, code: Code) -> Res<()> {
        if code == 0 { Ok(()) } else { self.failed() }
    }

    /// What PyTorch says of its function that failed last.
    #[cold]
    fn failed(&self) -> Res<()> {
        let text = self.functions.torch_exception_get_what_without_backtrace.map(|what| {
            // SAFETY: the function takes nothing and returns a text that ends with nul, or null.
            let text = unsafe { what() };
            if text.is_null() {
                return String::new();
            }
            // SAFETY: not null; it is PyTorch's until its next function of this thread fails.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        });
        fail(
            text.filter(|t| !t.is_empty()).unwrap_or_else(|| "PyTorch reports an error".to_owned()),
        )
    }

    /// Reads what is known of a tensor; declines types without kernels.
    pub fn read<'a>(&self, tensor: &'a Owned) -> Res<Tensor<'a>> {
        let handle = tensor.handle();
        let (mut dtype, mut dim) = (0, 0);
        let (mut sizes, mut strides) = (std::ptr::null(), std::ptr::null());
        // SAFETY: the handle is alive as long as `tensor`; the places written to are ours.
        unsafe {
            self.check((self.functions.aoti_torch_get_dtype)(handle, &raw mut dtype))?;
            self.check((self.functions.aoti_torch_get_dim)(handle, &raw mut dim))?;
        }
        let dtype = self.dtype(dtype)?;
        let dim = usize::try_from(dim).unwrap_or(0);
        if dim == 0 {
            return Ok(Tensor { handle, dtype, sizes: &[], strides: &[] });
        }
        // SAFETY: as PyTorch declares, both pointers lead to `dim` numbers inside the tensor, which
        // lives as long as the borrow of `tensor`; operators do not resize their arguments.
        let (sizes, strides) = unsafe {
            self.check((self.functions.aoti_torch_get_sizes)(handle, &raw mut sizes))?;
            self.check((self.functions.aoti_torch_get_strides)(handle, &raw mut strides))?;
            (std::slice::from_raw_parts(sizes, dim), std::slice::from_raw_parts(strides, dim))
        };
        Ok(Tensor { handle, dtype, sizes, strides })
    }

    /// How many elements a tensor has; 0 where PyTorch does not say.
    pub fn numel(&self, tensor: &Owned) -> usize {
        let mut n = 0;
        // SAFETY: the handle is alive while it is borrowed; the place written to is ours.
        let code = unsafe { (self.functions.aoti_torch_get_numel)(tensor.handle(), &raw mut n) };
        if code == 0 { usize::try_from(n).unwrap_or(0) } else { 0 }
    }

    /// Whether a tensor is in main memory.
    pub fn is_here(&self, tensor: &Owned) -> bool {
        let mut device = -1;
        // SAFETY: the handle is alive while it is borrowed; the place written to is ours.
        let code = unsafe {
            (self.functions.aoti_torch_get_device_type)(tensor.handle(), &raw mut device)
        };
        code == 0 && device == self.cpu
    }

    /// The type of elements with PyTorch's number; declines those without kernels.
    pub fn dtype(&self, number: i32) -> Res<Dtype> {
        let known = self.dtypes.iter().find(|(n, _)| *n == number);
        known.map(|(_, dtype)| *dtype).ok_or(Stop::Decline)
    }

    /// Where the elements of an argument begin. They may be read only.
    pub fn data(&self, tensor: &Tensor<'_>) -> Res<*mut u8> {
        let mut data = std::ptr::null();
        // SAFETY: the handle is alive while its `Owned` is borrowed.
        let code =
            unsafe { (self.functions.torch_get_const_data_ptr)(tensor.handle, &raw mut data) };
        self.check(code).map(|()| data.cast::<u8>().cast_mut())
    }

    /// Where the elements of a result begin.
    pub fn data_mut(&self, tensor: Handle) -> Res<*mut u8> {
        let mut data = std::ptr::null_mut();
        // SAFETY: PyTorch's own functions alone make handles, and their owners outlive this call.
        let code = unsafe { (self.functions.torch_get_mutable_data_ptr)(tensor, &raw mut data) };
        self.check(code).map(|()| data.cast())
    }

    /// A new tensor in main memory.
    pub fn empty(&self, sizes: &[i64], strides: &[i64], dtype: Dtype) -> Res<Owned> {
        debug_assert_eq!(sizes.len(), strides.len());
        let number = self.dtypes.iter().find(|(_, d)| *d == dtype).expect("all four are there").0;
        let mut made = Handle(std::ptr::null_mut());
        // SAFETY: both arrays have as many numbers as is said.
        let code = unsafe {
            (self.functions.aoti_torch_empty_strided)(
                sizes.len() as i64,
                sizes.as_ptr(),
                strides.as_ptr(),
                number,
                self.cpu,
                -1,
                &raw mut made,
            )
        };
        // SAFETY: on success the new reference is ours.
        self.check(code).map(|()| unsafe { Owned::new(made) })
    }

    /// A text argument, whose handle is deleted.
    ///
    /// # Safety
    /// `handle` must be a `StringHandle` that nobody else will delete.
    pub unsafe fn text(&self, handle: *mut c_void) -> Res<Cow<'static, str>> {
        /// What the argument `approximate` of GELU says, for which no memory is asked.
        const KNOWN: [&str; 2] = ["none", "tanh"];
        let mut text = std::ptr::null();
        // SAFETY: the handle is valid until it is deleted; the text ends with nul and lives as long.
        unsafe {
            let code = (self.functions.torch_string_c_str)(handle, &raw mut text);
            let text = if code == 0 {
                let text = CStr::from_ptr(text);
                match KNOWN.iter().find(|known| text.to_bytes() == known.as_bytes()) {
                    Some(known) => Cow::Borrowed(*known),
                    None => Cow::Owned(text.to_string_lossy().into_owned()),
                }
            } else {
                Cow::Borrowed("")
            };
            (self.functions.torch_delete_string)(handle);
            self.check(code).map(|()| text)
        }
    }

    /// A `StringHandle` of a text, which whoever takes it deletes; nothing where PyTorch makes none.
    pub fn string(&self, text: &str) -> Option<*mut c_void> {
        let new = self.functions.torch_new_string_handle?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: the text is valid for reading so many bytes, which are copied.
        let code = unsafe { new(text.as_ptr().cast(), text.len(), &raw mut handle) };
        (code == 0).then_some(handle)
    }

    /// Calls `part(begin, end)` for parts of `0..n` on PyTorch's threads, as many as it is told to
    /// use; parts have at least `grain` elements, except one.
    pub fn parallel(&self, n: usize, grain: usize, part: impl Fn(usize, usize) + Sync) -> Res<()> {
        struct Context<'a, F> {
            part: &'a F,
            panic: Mutex<Option<String>>,
        }
        unsafe extern "C" fn call<F: Fn(usize, usize) + Sync>(
            begin: i64,
            end: i64,
            context: *mut c_void,
        ) {
            // SAFETY: the pointer is to the context below, which outlives the call of
            // `torch_parallel_for`; it is shared by threads, and both of its fields are `Sync`.
            let context = unsafe { &*context.cast::<Context<'_, F>>() };
            let work = AssertUnwindSafe(|| (context.part)(begin as usize, end as usize));
            if let Err(panic) = catch_unwind(work) {
                let mut first = context.panic.lock().unwrap_or_else(|e| e.into_inner());
                first.get_or_insert_with(|| panic_text(&*panic));
            }
        }
        fn callback<F: Fn(usize, usize) + Sync>(
            _: &F,
        ) -> unsafe extern "C" fn(i64, i64, *mut c_void) {
            call::<F>
        }
        if n <= grain {
            if n > 0 {
                part(0, n);
            }
            return Ok(());
        }
        let context = Context { part: &part, panic: Mutex::new(None) };
        // SAFETY: the context lives until the call returns, and PyTorch returns when all parts have.
        let code = unsafe {
            (self.functions.torch_parallel_for)(
                0,
                n as i64,
                grain as i64,
                callback(&part),
                (&raw const context).cast_mut().cast(),
            )
        };
        self.check(code)?;
        match context.panic.into_inner().unwrap_or_else(|e| e.into_inner()) {
            Some(text) => fail(text),
            None => Ok(()),
        }
    }

    /// Throws a C++ exception, which PyTorch turns into a RuntimeError.
    pub fn throw(&self, text: &str) {
        let message = CString::new(text.replace('\0', "?")).unwrap_or_default();
        let check = self.functions.aoti_torch_check;
        // SAFETY: all texts end with nul; the function copies the message. It unwinds, as its type
        // says, through frames of this crate that hold `message` alone.
        unsafe { check(false, c"nonlin".as_ptr(), c"nonlin".as_ptr(), 0, message.as_ptr()) };
    }

    /// Whether it converts tensors from and to Python's objects by itself: from 2.14 on.
    pub fn meets_python(&self) -> bool {
        self.functions.torch_tensor_from_pyobject.is_some()
            && self.functions.torch_tensor_to_pyobject.is_some()
    }

    /// An owned reference to the tensor of a Python object.
    ///
    /// # Safety
    /// `object` must be a valid object of Python, and the thread must hold the GIL.
    pub unsafe fn tensor_of(&self, object: *mut c_void) -> Option<Res<Owned>> {
        let from = self.functions.torch_tensor_from_pyobject?;
        let mut handle = Handle(std::ptr::null_mut());
        // SAFETY: `object` is a valid object of Python, and this thread holds the GIL.
        let code = unsafe { from(object, &raw mut handle) };
        // SAFETY: on success the new reference is ours.
        Some(self.check(code).map(|()| unsafe { Owned::new(handle) }))
    }

    /// A new reference to the Python object of a tensor.
    ///
    /// # Safety
    /// The thread must hold the GIL.
    pub unsafe fn to_python(&self, tensor: &Owned) -> Option<Res<*mut c_void>> {
        let to = self.functions.torch_tensor_to_pyobject?;
        let mut object = std::ptr::null_mut();
        // SAFETY: the handle is alive; a null type stands for `torch.Tensor`.
        let code = unsafe { to(tensor.handle(), std::ptr::null_mut(), &raw mut object) };
        Some(self.check(code).map(|()| object))
    }

    /// Whether operations on this thread are recorded for gradients.
    pub fn grad_is_enabled(&self) -> bool {
        // SAFETY: the function takes nothing and returns a truth value.
        unsafe { (self.functions.aoti_torch_grad_mode_is_enabled)() }
    }

    /// Calls an operator as PyTorch does: the arguments on the stack become the operator's, and the
    /// results, which become the caller's, take their place.
    ///
    /// # Safety
    /// `stack` must hold the arguments of the operator's schema and have room for its results.
    pub unsafe fn call(&self, name: &CStr, stack: &mut [u64]) -> Res<()> {
        // SAFETY: `stack` holds the arguments of the operator's schema and has room for its results;
        // `name` ends with nul.
        let code = unsafe {
            (self.functions.torch_call_dispatcher)(
                name.as_ptr(),
                c"".as_ptr(),
                stack.as_mut_ptr(),
                BUILD_VERSION,
            )
        };
        self.check(code)
    }

    /// A second reference to a tensor.
    pub fn again(&self, tensor: &Owned) -> Res<Owned> {
        let mut handle = Handle(std::ptr::null_mut());
        // SAFETY: the handle is alive while it is borrowed.
        let code = unsafe {
            (self.functions.aoti_torch_new_tensor_handle)(tensor.handle(), &raw mut handle)
        };
        // SAFETY: on success the new reference is ours.
        self.check(code).map(|()| unsafe { Owned::new(handle) })
    }
}

/// What a panic says.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    format!("nonlin failed: {said}; please report this")
}

/// The version of the interface that registrations and calls ask for: 2.10.
const BUILD_VERSION: u64 = (2 << 56) | (10 << 48);

/// Operators registered with PyTorch; dropped, they are what they were before.
pub struct Registrations(Vec<LibraryHandle>);

// SAFETY: a library object is used by one thread at a time: it is reached by `&mut` alone.
unsafe impl Send for Registrations {}

impl Registrations {
    /// None yet.
    pub fn new() -> Self {
        Registrations(Vec::new())
    }

    /// Places kernels for the CPU under operators, by name within `namespace`.
    pub fn implement<'a>(
        &mut self,
        namespace: &CStr,
        kernels: impl Iterator<Item = (&'a str, Boxed)>,
    ) -> Res<()> {
        let torch = torch()?;
        let mut library = std::ptr::null_mut();
        // SAFETY: all texts end with nul, and PyTorch copies them.
        let code = unsafe {
            (torch.functions.aoti_torch_library_init_impl)(
                namespace.as_ptr(),
                c"CPU".as_ptr(),
                c"nonlin".as_ptr(),
                0,
                &raw mut library,
            )
        };
        torch.check(code)?;
        self.0.push(library);
        for (name, kernel) in kernels {
            let name = CString::new(name).map_err(|e| Stop::Fail(e.to_string()))?;
            // SAFETY: the library is alive; the function keeps to the boxed calling convention.
            let code = unsafe {
                (torch.functions.torch_library_impl)(library, name.as_ptr(), kernel, BUILD_VERSION)
            };
            torch.check(code)?;
        }
        Ok(())
    }
}

impl Drop for Registrations {
    fn drop(&mut self) {
        let Ok(torch) = torch() else { return };
        for library in self.0.drain(..).rev() {
            // SAFETY: made by this value, and deleted once.
            unsafe { (torch.functions.aoti_torch_delete_library_object)(library) };
        }
    }
}
