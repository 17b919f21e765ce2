//! Objects that are made when somebody asks for one, as by a type that is registered with Python's managers. What is registered is an
//! object with one method, `create`; what that gives is a handle of a new object, which goes with the last handle of it.

use super::{SessionId, additions::Residents};
use bursar::object::{
    Answer, Answering, Arguments, Call, Description, Failed, IntoService, Method, Parameter, Service, link::handle_of,
};
use bursar_proto::Fault;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The name of the method.
const CREATE: &str = "create";

type Make = Arc<dyn Fn(&mut Arguments) -> Result<Arc<dyn Service>, Failed> + Send + Sync>;

/// How objects are made, of which arguments.
#[derive(Clone)]
pub struct Factory {
    doc: String,
    parameters: Vec<Parameter>,
    make: Make,
}

impl Factory {
    /// What makes an object. It must not block. Its error is the one of `create`; a panic fails that call only.
    pub fn new<C, O: IntoService<C>>(make: impl Fn(&mut Arguments) -> Result<O, Failed> + Send + Sync + 'static) -> Factory {
        let make: Make = Arc::new(move |arguments| make(arguments).map(IntoService::into_service));
        Factory { doc: String::new(), parameters: Vec::new(), make }
    }

    /// What is made, for people.
    pub fn doc(mut self, doc: impl Into<String>) -> Factory {
        self.doc = doc.into();
        self
    }

    /// An argument that must be said. The type is shown, and not checked: "integer", "string", ...
    pub fn argument(self, name: &str, r#type: &str) -> Factory {
        self.parameter(Parameter { name: name.to_owned(), r#type: r#type.to_owned(), ..Parameter::default() })
    }

    /// An argument that need not be said.
    pub fn optional(self, name: &str, r#type: &str) -> Factory {
        self.parameter(Parameter { name: name.to_owned(), r#type: r#type.to_owned(), optional: true, ..Parameter::default() })
    }

    /// An argument with all that can be said of it.
    pub fn parameter(mut self, parameter: Parameter) -> Factory {
        self.parameters.push(parameter);
        self
    }
}

/// A factory at work.
pub(super) struct Making {
    name: String,
    factory: Factory,
    residents: Residents,
    /// Of the object that was made last.
    number: AtomicU64,
}

impl Making {
    pub fn new(name: &str, factory: Factory, residents: Residents) -> Making {
        Making { name: name.to_owned(), factory, residents, number: AtomicU64::new(0) }
    }

    async fn create(&self, mut call: Call) -> Result<Answer, Failed> {
        let object = (self.factory.make)(&mut call.arguments)?;
        loop {
            let name = format!("{}/{}", self.name, self.number.fetch_add(1, Ordering::Relaxed) + 1);
            match self.residents.house_for(SessionId(call.session), &name, object.clone()).await {
                Ok(epoch) => return Ok(Answer::Result(handle_of(&name, epoch))),
                // Somebody took the name.
                Err(Fault::AlreadyExists { .. }) => {}
                Err(fault) => return Err(Failed::new("bursar.create", fault.to_string())),
            }
        }
    }
}

impl Service for Making {
    fn description(&self) -> Description {
        let Factory { doc, parameters, make: _ } = &self.factory;
        let create = Method {
            name: CREATE.to_owned(),
            doc: "A new object, which goes with the last handle of it.".to_owned(),
            parameters: parameters.clone(),
            result: "handle:object".to_owned(),
            ..Method::default()
        };
        Description { doc: doc.clone(), methods: vec![create] }
    }

    fn call(self: Arc<Self>, call: Call) -> Answering {
        Box::pin(async move { self.create(call).await.unwrap_or_else(Answer::Failed) })
    }
}
